"""The ledger as those see it who look into it."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, ResultRow, TaskFilter
from malbox_cli.store.ledger_schema import LedgerError, config_text, connect, ledger_path, make, to_db
from malbox_cli.store.task_states import TaskState

Values = dict[str, object]


class Writer:
    """Puts rows into a ledger as they are."""

    def __init__(self, state_dir: Path) -> None:
        self.path = ledger_path(state_dir)
        self.db = connect(self.path)
        make(self.db, self.path)

    def put(self, table: str, **values: object) -> None:
        marks = ",".join("?" * len(values))
        self.db.execute(f"INSERT INTO {table} ({','.join(values)}) VALUES ({marks})", tuple(values.values()))

    def task(self, task: int, **values: object) -> None:
        row: Values = {"task": task, "session": 1, "plugin": "p", "version": "1.0.0", "sample": f"/s/{task}"}
        row |= {"config": "{}", "priority": 0, "is_detached": 0, "state": "COMPLETED"}
        row |= {"added_at": 1000.0 + task, "ended_at": 2000.0 + task}
        row.update(values)
        if row["state"] in ("QUEUED", "RUNNING"):
            row["ended_at"] = None
        self.put("tasks", **row)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.db.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LedgerReader]:
    with LedgerReader(tmp_path) as reader:
        yield reader


def ids(reader: LedgerReader, **which: object) -> list[int]:
    return [row.task for row in reader.tasks(TaskFilter(**which))]  # type: ignore[arg-type]


def test_no_ledger_is_an_empty_one_and_one_that_comes_later_is_seen(tmp_path: Path, reader: LedgerReader) -> None:
    assert reader.tasks() == []
    assert reader.task(1) is None
    assert (reader.attempts(1), reader.results(1), reader.notes(1)) == ([], [], [])
    assert set(reader.counts().values()) == {0}
    assert reader.find_completed("p", "1", {}, "ab") is None
    assert not ledger_path(tmp_path).exists()
    writer = Writer(tmp_path)
    writer.task(1)
    assert ids(reader) == [1]
    writer.db.close()


def test_a_file_that_its_first_writer_has_only_begun_is_empty(tmp_path: Path, reader: LedgerReader) -> None:
    connect(ledger_path(tmp_path)).close()
    assert reader.tasks() == []


def test_a_task_is_told_with_all_that_is_known(writer: Writer, reader: LedgerReader) -> None:
    writer.task(
        7,
        sample=to_db("/s/\udcff"),
        sha256="ab" * 32,
        size=12,
        config='{"a":"\\udcff"}',
        timeout=2.5,
        priority=-3,
        is_detached=1,
        retry_of=4,
        state="FAILED",
        error="no",
        seconds=1.5,
        partial=1,
        started_at=1500.0,
    )
    for attempt in (1, 2):
        writer.put("attempts", task=7, attempt=attempt, worker="p-1", began_at=1.0)
    writer.put("results", task=7, attempt=2, number=1, name="r", format="json", size=2, sha256="cd", at=1.0, data=b"{}")
    row = reader.task(7)
    assert row is not None
    assert (row.sample, row.sha256, row.size, row.config) == ("/s/\udcff", "ab" * 32, 12, {"a": "\udcff"})
    assert (row.timeout, row.priority, row.is_detached, row.retry_of) == (2.5, -3, True, 4)
    assert (row.state, row.error, row.seconds, row.partial) == (TaskState.FAILED, "no", 1.5, True)
    assert (row.added_at, row.started_at, row.ended_at) == (1007.0, 1500.0, 2007.0)
    assert (row.attempts, row.results) == (2, 1)
    assert reader.task(8) is None


def test_attempts_results_and_notes_come_in_order(writer: Writer, reader: LedgerReader) -> None:
    writer.put("attempts", task=1, attempt=2, worker="p-2", began_at=3.0)
    writer.put("attempts", task=1, attempt=1, worker="p-1", began_at=1.0, ended_at=2.0, outcome="lost", error="gone")
    of_result: Values = {"task": 1, "attempt": 2, "name": "r", "size": 2, "sha256": "cd", "at": 4.0}
    writer.put("results", **of_result, number=2, format="file", path="/o")
    writer.put("results", **of_result, number=1, format="json", data=b"{}")
    writer.put("notes", task=1, at=1.0, kind="warning", text="first")
    writer.put("notes", task=1, at=0.5, kind="cancel", text="second")
    assert reader.attempts(1) == [
        AttemptRow(1, "p-1", 1.0, 2.0, "lost", "gone"),
        AttemptRow(2, "p-2", 3.0, None, None, None),
    ]
    assert reader.results(1) == [
        ResultRow(2, 1, "r", "json", 2, "cd", b"{}", None, 4.0),
        ResultRow(2, 2, "r", "file", 2, "cd", None, "/o", 4.0),
    ]
    assert reader.notes(1) == [NoteRow(1.0, "warning", "first"), NoteRow(0.5, "cancel", "second")]


def test_the_newest_tasks_come_first_and_each_filter_narrows(writer: Writer, reader: LedgerReader) -> None:
    states = ["COMPLETED", "FAILED", "QUEUED", "RUNNING", "CANCELED", "TIMEOUT"]
    for task in range(1, 25):
        writer.task(
            task,
            plugin=["p", "q", "r"][task % 3],
            state=states[task % 6],
            sample="/s/same" if task % 4 == 0 else f"/s/{task}",
            sha256=None if task == 24 else f"{task:06x}" + "0" * 58,
        )
    assert ids(reader) == list(range(24, 0, -1))
    assert ids(reader, limit=3) == [24, 23, 22]
    assert ids(reader, states=frozenset({TaskState.QUEUED})) == [20, 14, 8, 2]
    assert ids(reader, states=frozenset({TaskState.QUEUED, TaskState.FAILED}), limit=3) == [20, 19, 14]
    assert ids(reader, plugins=frozenset("p"), limit=2) == [24, 21]
    assert ids(reader, plugins=frozenset("pq"), states=frozenset({TaskState.RUNNING, TaskState.FAILED})) == [
        *(21, 19, 15, 13, 9, 7, 3, 1)
    ]
    assert ids(reader, sample="/s/same") == [24, 20, 16, 12, 8, 4]
    assert ids(reader, sample="00000A") == [10]
    assert ids(reader, sample=f"{10:06x}" + "0" * 58) == [10]
    assert ids(reader, sample="00000") == []
    assert ids(reader, since=1020.0) == [24, 23, 22, 21, 20]
    assert ids(reader, since=1020.0, plugins=frozenset("p"), limit=1) == [24]
    assert ids(reader, since=1020.5, plugins=frozenset("pr")) == [24, 23, 21]
    assert ids(reader, since=1015.0, states=frozenset({TaskState.RUNNING})) == [21, 15]
    assert ids(reader, since=9999.0) == []
    assert ids(reader, sample="/s/same", states=frozenset({TaskState.COMPLETED})) == [24, 12]
    assert reader.counts() == dict.fromkeys(TaskState, 4)


def test_more_tasks_than_a_statement_takes_values_are_told(writer: Writer, reader: LedgerReader) -> None:
    writer.db.execute("BEGIN")
    for task in range(1, 1200):
        writer.task(task)
    writer.db.execute("COMMIT")
    assert ids(reader, states=frozenset({TaskState.COMPLETED})) == list(range(1199, 0, -1))


def test_what_was_done_before_is_found_by_plugin_version_settings_and_content(
    writer: Writer, reader: LedgerReader
) -> None:
    config = {"b": "2", "a": "1"}
    others: list[Values] = [{"plugin": "q"}, {"version": "2"}, {"config": "{}"}, {"sha256": "cd"}, {"partial": 1}]
    others += [{"state": "FAILED"}, {"state": "QUEUED"}]
    for task, values in enumerate([{}, {}, *others], 1):
        writer.task(task, **{"sha256": "ab", "config": config_text(config), **values})
    row = reader.find_completed("p", "1.0.0", dict(reversed(config.items())), "ab")
    assert row is not None
    assert row.task == 2
    assert reader.find_completed("p", "1.0.0", config, "ef") is None


def test_what_a_killed_writer_left_in_its_log_is_read(tmp_path: Path, reader: LedgerReader) -> None:
    code = f"""
import os, signal
from pathlib import Path
from tests.store.test_ledger_reader import Writer
Writer(Path({str(tmp_path)!r})).task(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False, timeout=60)
    assert Path(f"{ledger_path(tmp_path)}-wal").stat().st_size
    assert ids(reader) == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_is_read(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.task(1)
    writer.db.close()
    tmp_path.chmod(0o500)
    try:
        with LedgerReader(tmp_path) as reader:
            assert ids(reader) == [1]
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_of_somebody_else_is_told_of(tmp_path: Path, reader: LedgerReader) -> None:
    Writer(tmp_path).db.close()
    tmp_path.chmod(0)
    try:
        with pytest.raises(
            LedgerError, match=re.escape(f"cannot read the ledger {tmp_path}/ledger.db: Permission denied")
        ):
            reader.tasks()
    finally:
        tmp_path.chmod(0o700)


def test_a_reader_does_not_write(writer: Writer, reader: LedgerReader) -> None:
    writer.task(1)
    assert ids(reader) == [1]
    assert reader._db is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM tasks")


@pytest.mark.parametrize(
    "which",
    [
        TaskFilter(limit=5),
        *(TaskFilter(states=frozenset({state}), limit=5) for state in TaskState),
        TaskFilter(plugins=frozenset("z"), limit=5),
        TaskFilter(since=1e9, limit=5),
        TaskFilter(since=1e9, plugins=frozenset("p"), limit=5),
        TaskFilter(sample="/s/none"),
        TaskFilter(sample="abcdef", states=frozenset({TaskState.FAILED})),
    ],
    ids=str,
)
def test_no_question_looks_at_every_task(writer: Writer, reader: LedgerReader, which: TaskFilter) -> None:
    writer.db.execute("BEGIN")
    for task in range(1, 5000):
        writer.task(task, sha256=f"{task:064x}")
    writer.db.execute("COMMIT")
    reader.tasks(which)
    assert reader._db is not None
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    reader._db.set_progress_handler(count, 100)
    reader.tasks(which)
    assert steps < 50  # hundreds of instructions; a look at every task takes two or more for each
