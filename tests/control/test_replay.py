"""The stream of a task, from the ledger."""

from dataclasses import replace
from pathlib import Path

import pytest
from kept_tasks import LS, SHA256, a_task, json_result

from malbox_cli.control.records import Accepted, Ended, Outcome, Result, TaskWarning
from malbox_cli.control.replay import past_records, result_record
from malbox_cli.store.ledger_rows import NoteRow, ResultRow
from malbox_cli.store.task_states import TaskState

ACCEPTED = Accepted(1, "echo", "/bin/ls", SHA256)


def test_a_stream_begins_with_the_task_and_ends_with_its_end() -> None:
    assert list(past_records(LS, [], [])) == [ACCEPTED, Ended(1, "echo", Outcome.COMPLETED, None, 0.25)]


@pytest.mark.parametrize("state", TaskState)
def test_only_a_task_that_has_ended_has_an_end(state: TaskState) -> None:
    records = list(past_records(a_task(1, state=state, error="why", partial=True), [], []))

    ends = [record for record in records if isinstance(record, Ended)]
    assert [end.outcome.name for end in ends] == [state.name] * state.is_final
    assert all(end.error == "why" and end.partial for end in ends)


def test_warnings_and_results_come_by_their_time_and_other_notes_do_not() -> None:
    results = [json_result(1, "a", 1), json_result(2, "b", 2)]
    between = (results[0].at + results[1].at) / 2
    notes = [NoteRow(between, "warning", "careful"), NoteRow(between, "retry", "again"), NoteRow(0, "cancel", "stop")]

    said = list(past_records(LS, notes, results))[1:-1]

    assert [record.name if isinstance(record, Result) else record for record in said] == [
        "a",
        TaskWarning(1, "careful"),
        "b",
    ]


def test_a_task_whose_sample_could_not_be_read_is_an_end_alone() -> None:
    task = replace(LS, sha256=None, size=None, state=TaskState.FAILED, error="no such file")
    assert list(past_records(task, [], [])) == [Ended(1, "echo", Outcome.FAILED, "no such file", 0.25)]


def test_json_in_the_ledger_is_data_on_one_line_and_everything_else_a_path(tmp_path: Path) -> None:
    row = ResultRow(2, 3, "r", "json", 11, SHA256, b'{"a":\n  "\xc3\xa9"}', str(tmp_path / "r"), 0.0)
    of_json = result_record(7, row)
    of_bytes = result_record(7, replace(row, format="bytes"))
    of_large = result_record(7, replace(row, data=None))

    assert of_json == Result(7, "r", "json", 11, SHA256, '{"a":   "é"}', None, 3, 2)
    assert (of_bytes.data, of_bytes.path) == (None, str(tmp_path / "r"))
    assert (of_large.data, of_large.path) == (None, str(tmp_path / "r"))
