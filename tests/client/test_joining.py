"""A stream that is joined in its middle."""

from kept_tasks import LS, NOW, SHA256, a_task, json_result

from malbox_cli.client.joining import news_filter
from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Result, TaskWarning
from malbox_cli.store.ledger_rows import NoteRow
from malbox_cli.store.task_states import TaskState

TASK = a_task(1, state=TaskState.RUNNING)
ACCEPTED = Accepted(1, "echo", "/bin/ls", SHA256)
END = Ended(1, "echo", Outcome.COMPLETED, None, 1.0)


def result(number: int, attempt: int = 1) -> Result:
    return Result(1, f"r{number}", "json", 1, SHA256, "1", number=number, attempt=attempt)


def test_what_the_ledger_had_is_not_told_again_and_everything_else_is() -> None:
    told: list[Record] = [ACCEPTED, Progress(1, 0.5, "half"), result(2), result(3), END]
    had = [json_result(1, "r1", 1), json_result(2, "r2", 1)]
    assert list(filter(news_filter(TASK, [], had), told)) == [told[1], told[3], told[4]]


def test_a_result_of_a_later_attempt_is_another_one() -> None:
    assert list(filter(news_filter(TASK, [], [json_result(1, "r1", 1)]), [result(1, 2), END])) == [result(1, 2), END]


def test_a_task_that_the_ledger_did_not_have_whole_is_told_when_it_was_accepted() -> None:
    unread = a_task(1, state=TaskState.QUEUED, sha256=None)
    assert list(filter(news_filter(unread, [], []), [ACCEPTED, END])) == [ACCEPTED, END]


def test_a_warning_is_passed_over_as_often_as_it_was_read() -> None:
    warning = TaskWarning(1, "careful")
    recent = [NoteRow(NOW, "warning", "careful"), NoteRow(NOW, "retry", "other")]
    told = [warning, warning, TaskWarning(1, "other")]
    assert list(filter(news_filter(LS, recent, []), told)) == told[1:]
