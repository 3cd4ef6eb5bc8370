"""Tasks as text and as JSON."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_tasks import LS, SHA256, a_task

from malbox_cli.output.task_text import CUT, TaskTable, cut, detail_lines, reason_of, task_fields, whole_fields
from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, TaskRow
from malbox_cli.store.task_states import TaskState

NOW = datetime(2026, 11, 24, 18, 30).timestamp()
TRACEBACK = 'Traceback (most recent call last):\n  File "m.py", line 1, in on_task\nValueError: bad header'
LONG = "/samples/" + "deep/" * 40 + "invoice.pdf.exe"
HOSTILE = "x\x1b[2J\u202e\ny"


def table(width: int | None, *plugins: str, newest: int = 1) -> TaskTable:
    return TaskTable(width, plugins or ("echo",), newest, NOW)


def task(**fields: Any) -> TaskRow:
    return a_task(1, **{"added_at": NOW - 60, **fields})


@pytest.mark.parametrize("width", [80, 99, 100, 119, 120, 200])
@given(
    sample=st.text(min_size=1, max_size=300).map(lambda name: f"/{name}"),
    error=st.none() | st.text(max_size=300),
    seconds=st.none() | st.floats(0, 1e6),
)
def test_a_line_is_no_wider_than_the_terminal(width: int, sample: str, error: str | None, seconds: float) -> None:
    row = task(sample=sample, error=error, seconds=seconds, state=TaskState.FAILED)
    for line in (table(width).header, table(width).row(row)):
        assert len(line) <= width
        assert line.isprintable()


def test_columns_stand_below_their_headings() -> None:
    for width in (None, 80, 100, 160):
        lines = table(width, "echo", "file-info", newest=123456)
        row = lines.row(task(sample="/bin/ls", error="why", state=TaskState.FAILED))
        for heading, content in (("STATE", "FAILED"), ("PLUGIN", "echo"), ("SAMPLE", "/bin/ls")):
            assert lines.header.index(heading) == row.index(content), width
        assert lines.header.index("TOOK") + len("TOOK") == row.index("250 ms") + len("250 ms")


def test_a_path_that_is_too_long_loses_its_beginning_on_a_terminal_and_nothing_in_a_pipe() -> None:
    short, whole = table(80).row(task(sample=LONG)), table(None).row(task(sample=LONG))

    assert short.endswith("invoice.pdf.exe")
    assert f"  {CUT}" in short
    assert whole.endswith(f"  {LONG}")


def test_why_it_ended_stands_behind_where_there_is_room() -> None:
    failed = task(error=TRACEBACK, state=TaskState.FAILED)

    assert "bad header" not in table(80).row(failed)
    assert table(160).row(failed).endswith("  ValueError: bad header")
    assert table(None).row(failed).endswith("/bin/ls  ValueError: bad header")
    assert "REASON" not in table(80).header


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, ""),
        ("\n", ""),
        ("the process ended", "the process ended"),
        ("it failed:\nmore of it", "it failed:"),
        (TRACEBACK, "ValueError: bad header"),
    ],
)
def test_the_reason_in_a_line(error: str | None, reason: str) -> None:
    assert reason_of(task(error=error)) == reason


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 11, 24, 9, 5, 7), "09:05:07"),
        (datetime(2026, 11, 23, 9, 5, 7), "11-23 09:05"),
        (datetime(2025, 11, 24, 9, 5, 7), "2025-11-24"),
    ],
)
def test_a_narrow_table_has_as_much_of_a_date_as_it_takes(at: datetime, text: str) -> None:
    assert f"  {text}  " in table(80).row(task(added_at=at.timestamp()))
    assert f"  {at:%Y-%m-%d %H:%M:%S}  " in table(100).row(task(added_at=at.timestamp()))


def test_the_state_alone_is_coloured() -> None:
    plain = table(80).row(LS)
    painted = table(80).row(LS, lambda text, state: f"<{state.name}:{text}>")
    assert painted == plain.replace("COMPLETED", "<COMPLETED:COMPLETED>")


@pytest.mark.parametrize(("text", "end", "start"), [("abcdef", "abc…", "…def"), ("abcd", "abcd", "abcd")])
def test_what_is_cut_says_so(text: str, end: str, start: str) -> None:
    assert (cut(text, 4), cut(text, 4, end=False)) == (end, start)


def test_details_say_everything_once() -> None:
    row = task(
        state=TaskState.FAILED,
        error=TRACEBACK,
        config={"depth": "3"},
        timeout=30.0,
        priority=5,
        is_detached=True,
        retry_of=12,
        size=151344,
    )
    attempts = [
        AttemptRow(1, "echo-1", NOW - 9, NOW - 7, "lost", "killed by SIGSEGV"),
        AttemptRow(2, "echo-2", NOW - 6, NOW - 2, "failed", TRACEBACK),
    ]
    text = "\n".join(detail_lines(row, attempts, [NoteRow(NOW - 7, "retry", "again in 1 s")], NOW))

    for part in (
        "plugin   echo 0.1.0",
        "sample   /bin/ls",
        f"sha256   {SHA256}",
        "size     147.8 KiB (151344 bytes)",
        "asked    time limit 30.0 s, priority 5, detached, a retry of task 12",
        "config   depth = 3",
        "echo-1  lost after 2.0 s:\n    killed by SIGSEGV",
        "echo-2  failed after 4.0 s\nnotes",
        "retry: again in 1 s",
    ):
        assert part in text
    assert text.count("bad header") == 1


def test_an_attempt_that_goes_on_says_for_how_long() -> None:
    row = task(state=TaskState.RUNNING, started_at=NOW - 5)
    lines = detail_lines(row, [AttemptRow(1, "echo", NOW - 5, None, None, None)], [], NOW)
    assert lines[-1].endswith("echo  running after 5.0 s")
    assert not any(line.startswith("  ended") for line in lines)


def test_what_others_chose_does_nothing_to_a_terminal() -> None:
    row = task(sample=HOSTILE, error=HOSTILE, config={HOSTILE: HOSTILE}, plugin=HOSTILE, state=TaskState.FAILED)
    attempts = [AttemptRow(1, HOSTILE, NOW, NOW, "failed", f"not {HOSTILE}")]
    lines = [*detail_lines(row, attempts, [NoteRow(NOW, "warning", HOSTILE)], NOW), table(160).row(row)]
    assert all(line.isprintable() for line in lines)


def test_secrets_are_shown_nowhere() -> None:
    row = task(config={"api_key": "hunter2", "url": "https://me:hunter2@host/"})
    for text in ("\n".join(detail_lines(row, [], [], NOW)), json.dumps(task_fields(row))):
        assert "hunter2" not in text
        assert "api_key" in text


def test_json_has_every_field_of_a_task() -> None:
    fields = task_fields(replace(LS, state=TaskState.TIMEOUT, error="late", is_detached=True))
    assert {"is_detached", *fields} - {"detached"} == set(TaskRow.__slots__)
    assert (fields["state"], fields["error"], fields["detached"]) == ("TIMEOUT", "late", True)
    whole = whole_fields(LS, [AttemptRow(1, "echo", 1.0, None, None, None)], [NoteRow(2.0, "warning", "w")])
    assert whole["attempts"] == [
        {"attempt": 1, "worker": "echo", "began_at": 1.0, "ended_at": None, "outcome": None, "error": None}
    ]
    assert whole["notes"] == [{"at": 2.0, "kind": "warning", "text": "w"}]
