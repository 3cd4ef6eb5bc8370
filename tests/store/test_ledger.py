"""The ledger as a supervisor writes it, and as it is found afterwards."""

import dataclasses
import hashlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import Writing, added, began, ended, finished, kept, wait_for

from malbox_cli.store import ledger as ledger_module
from malbox_cli.store.entries import (
    AttemptBegan,
    AttemptEnded,
    Entry,
    Noted,
    OpenTask,
    Requeued,
    ResultKept,
    TaskAdded,
    TaskEnded,
)
from malbox_cli.store.ledger import Answer, Committed, Ledger, NoLedger
from malbox_cli.store.ledger_batch import STATEMENTS, rows_of
from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_rows import TaskFilter
from malbox_cli.store.ledger_schema import LedgerError, ledger_path
from malbox_cli.store.objects import object_path
from malbox_cli.store.prune import prune
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor.events import IdsReserved, LedgerStuck, LedgerWell

HERE = Path(__file__).parent


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    writing = Writing(tmp_path)
    yield writing
    assert writing.ledger.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LedgerReader]:
    with LedgerReader(tmp_path) as reader:
        yield reader


def outsider(code: str, state_dir: Path) -> str:
    """Return code for another process, which it may kill."""
    return f"""
import os, signal
from pathlib import Path
from ledgers import *
STATE = Path({str(state_dir)!r})
def die(): os.kill(os.getpid(), signal.SIGKILL)
{code}"""


def outside(code: str, state_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run code in another process."""
    return subprocess.run(
        [sys.executable, "-c", outsider(code, state_dir)],
        cwd=HERE,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_was_committed_is_there_with_the_times_of_its_calls(writing: Writing, reader: LedgerReader) -> None:
    for entry in (added(1, config={"a": "1"}), began(1), kept(1), finished(1)):
        writing.write(entry)
    writing.until(writing.write(ended(1)))
    row = reader.task(1)
    assert row is not None
    assert (row.state, row.seconds, row.attempts, row.results) == (TaskState.COMPLETED, 1.5, 1, 1)
    assert row.started_at is not None
    assert row.ended_at is not None
    assert row.added_at <= row.started_at <= row.ended_at
    assert row.config == {"a": "1"}
    (attempt,) = reader.attempts(1)
    assert (attempt.worker, attempt.began_at, attempt.outcome) == ("p-1", row.started_at, "completed")


def test_the_end_of_one_task_waits_for_that_of_the_next_which_began_with_it(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing.until([writing.write(entry) for entry in (added(1), added(2), began(1))][-1])
    monkeypatch.setattr(ledger_module, "LINGER_SECONDS", 30.0)
    # What is left of the first task, and the second, which is sent as soon as the first has ended.
    for entry in (finished(1), ended(1), began(2)):
        writing.write(entry)
    wait_for(writing.ledger._entries.empty)
    last = [writing.write(entry) for entry in (finished(2), ended(2))][-1]
    assert writing.next(Committed).number == last


def test_numbers_go_up_by_one_and_all_are_committed_in_order(writing: Writing) -> None:
    assert [writing.write(added(task)) for task in range(1, 101)] == list(range(1, 101))
    last = 0
    while last < 100:
        number = writing.next(Committed).number
        assert number > last
        last = number


def test_a_write_waits_for_no_disk(tmp_path: Path, reader: LedgerReader) -> None:
    writing = Writing(tmp_path)
    with closing(sqlite3.connect(ledger_path(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for task in range(1, 1001):
            writing.write(added(task))
        assert writing.ledger.backlog_bytes > 1000 * 100
        assert reader.tasks() == []
        other.execute("ROLLBACK")
    writing.until(1000)
    assert writing.ledger.backlog_bytes == 0
    assert len(reader.tasks()) == 1000
    assert writing.ledger.close()


class Model:
    """What entries say, without any ledger."""

    def __init__(self) -> None:
        self.tasks: dict[int, tuple[str, str | None, float | None, bool]] = {}
        self.attempts: dict[tuple[int, int], tuple[str, str | None, str | None]] = {}
        self.results: dict[tuple[int, int, int], tuple[str, bytes | None]] = {}
        self.notes: dict[int, list[str]] = {}

    def take(self, entry: Entry) -> None:
        task = entry.task
        match entry:
            case TaskAdded():
                self.tasks[task] = ("QUEUED", None, None, False)
            case AttemptBegan():
                self.attempts[task, entry.attempt] = (entry.worker, None, None)
                self.tasks[task] = ("RUNNING", None, None, False)
            case AttemptEnded():
                worker = self.attempts[task, entry.attempt][0]
                self.attempts[task, entry.attempt] = (worker, entry.outcome, entry.error)
            case Requeued():
                self.tasks[task] = ("QUEUED", None, None, False)
                self.results = {key: value for key, value in self.results.items() if key[0] != task}
            case ResultKept():
                self.results[task, entry.attempt, entry.number] = (entry.name, entry.data)
            case Noted():
                self.notes.setdefault(task, []).append(entry.text)
            case TaskEnded():
                self.tasks[task] = (entry.state.value, entry.error, entry.seconds, entry.partial)

    def require(self, reader: LedgerReader) -> None:
        rows = reader.tasks(TaskFilter())
        assert {row.task: (row.state.value, row.error, row.seconds, row.partial) for row in rows} == self.tasks
        for row in rows:
            assert (row.ended_at is not None) == row.state.is_final
            assert (row.started_at is not None) == (row.attempts > 0)
            assert [note.text for note in reader.notes(row.task)] == self.notes.get(row.task, [])
        assert {
            (row.task, each.attempt): (each.worker, each.outcome, each.error)
            for row in rows
            for each in reader.attempts(row.task)
        } == self.attempts
        assert {
            (row.task, each.attempt, each.number): (each.name, each.data)
            for row in rows
            for each in reader.results(row.task)
        } == self.results


@st.composite
def histories(draw: st.DrawFn) -> list[Entry | None]:
    """Return what happens to some tasks; None: everything before is committed first."""
    states: dict[int, str] = {}
    attempts: dict[int, int] = {}
    numbers: dict[int, int] = {}
    entries: list[Entry | None] = []
    for _ in range(draw(st.integers(0, 25))):
        what = draw(st.sampled_from(["add", "go on", "go on", "go on", "note", "commit"]))
        open_ = [task for task, state in states.items() if state != "ended"]
        if what == "add" or not open_:
            task = len(states) + 1
            states[task] = "queued"
            entries.append(added(task, sample=draw(st.sampled_from(["/a", "/\udcff"]))))
            continue
        task = draw(st.sampled_from(open_))
        if what == "commit":
            entries.append(None)
        elif what == "note":
            entries.append(Noted(task, "warning", draw(st.sampled_from(["x", "\udcff", ""]))))
        elif states[task] == "queued":
            if draw(st.booleans()):
                attempts[task] = attempts.get(task, 0) + 1
                numbers[task] = 0
                states[task] = "running"
                entries.append(AttemptBegan(task, attempts[task], f"p-{attempts[task]}"))
            elif draw(st.booleans()):
                states[task] = "ended"
                entries.append(ended(task, TaskState.CANCELED, "no"))
        elif draw(st.booleans()):
            numbers[task] += 1
            entries.append(ResultKept(task, attempts[task], numbers[task], "r", "bytes", 1, "ab", b"\0", None))
        else:
            again = draw(st.booleans())
            entries.append(AttemptEnded(task, attempts[task], "lost" if again else "completed", None))
            entries.append(Requeued(task) if again else ended(task))
            states[task] = "queued" if again else "ended"
    return entries


@given(histories())
@settings(max_examples=60)
def test_any_history_is_found_as_it_was(history: list[Entry | None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        writing, model = Writing(Path(name)), Model()
        for entry in history:
            if entry is None:
                writing.until(writing.write(Noted(10**6, "warning", "")))
            else:
                model.take(entry)
                writing.write(entry)
        assert writing.ledger.close()
        with LedgerReader(Path(name)) as reader:
            model.require(reader)


def test_a_supervisor_that_is_killed_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    code = """
writing = Writing(STATE)
for task in range(1, 2000):
    number = [writing.write(each) for each in (added(task), began(task), finished(task), ended(task))][-1]
    if task % 7 == 0:
        writing.until(number)
        print(task, flush=True)
    if task == 350: die()
"""
    done = outside(code, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = int(done.stdout.split()[-1])
    assert told == 350
    with LedgerReader(tmp_path) as reader:
        counts = reader.counts()
    assert counts[TaskState.COMPLETED] == 350


# Who takes over what is left.


def test_a_supervisor_takes_over_what_one_before_it_left(tmp_path: Path) -> None:
    code = """
writing = Writing(STATE)
for each in (added(1, priority=3, config={"a": "b"}), added(2), began(2), added(3), began(3), finished(3, "lost"),
             Requeued(3), began(3, 2), finished(3, "failed", 2), Requeued(3), added(5), began(5),
             Noted(5, "cancel", "an attempt before"), finished(5, "interrupted"), Requeued(5), began(5, 2), added(6),
             began(6), Noted(6, "cancel", "cancelled on request"), added(4), began(4), finished(4)):
    writing.write(each)
writing.until(writing.write(ended(4)))
die()
"""
    done = outside("from malbox_cli.store.entries import Noted, Requeued\n" + code, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    writing = Writing(tmp_path)
    tasks = writing.ledger.open_tasks()
    assert [dataclasses.replace(each, age=0.0) for each in tasks] == [
        OpenTask(added(1, priority=3, config={"a": "b"}), False, 0, 0, 0, 0.0),
        OpenTask(added(2), True, 1, 0, 0, 0.0),
        OpenTask(added(3), False, 2, 1, 1, 0.0),
        OpenTask(added(5), True, 2, 0, 0, 0.0),
        OpenTask(added(6), True, 1, 0, 0, 0.0, "cancelled on request"),
    ]
    assert all(each.age >= 0 for each in tasks)
    assert writing.ledger.close()
    again = Writing(tmp_path)
    assert [each.added.task for each in again.ledger.open_tasks()] == [1, 2, 3, 5, 6]
    assert again.ledger.close()


def test_the_queue_of_a_supervisor_that_said_goodbye_is_taken_over_too(tmp_path: Path) -> None:
    first = Writing(tmp_path)
    first.write(added(1))
    assert first.ledger.close()
    second = Writing(tmp_path)
    assert [each.added.task for each in second.ledger.open_tasks()] == [1]
    assert second.ledger.close()


@pytest.mark.parametrize("kind", ["up", "run"])
def test_the_tasks_of_a_run_that_was_killed_have_failed(tmp_path: Path, reader: LedgerReader, kind: str) -> None:
    code = "w = Writing(STATE, 'run'); w.write(added(1)); w.write(added(2)); w.until(w.write(began(2))); die()"
    assert outside(code, tmp_path).returncode == -signal.SIGKILL
    writing = Writing(tmp_path, "up" if kind == "up" else "run")
    assert writing.ledger.open_tasks() == ()
    for task in (1, 2):
        row = reader.task(task)
        assert row is not None
        assert (row.state, row.error) == (TaskState.FAILED, "the `malbox run` that sent it was killed")
    assert [each.outcome for each in reader.attempts(2)] == ["interrupted"]
    assert writing.ledger.close()


def test_the_tasks_of_a_run_that_lives_are_left_alone(tmp_path: Path, reader: LedgerReader) -> None:
    run = Writing(tmp_path, "run")
    run.until(run.write(added(1)))
    up = Writing(tmp_path)
    assert up.ledger.open_tasks() == ()
    row = reader.task(1)
    assert row is not None
    assert row.state is TaskState.QUEUED
    run.until(run.write(ended(1)))
    assert run.ledger.close()
    assert up.ledger.close()


def test_a_run_leaves_the_tasks_of_a_supervisor_alone(tmp_path: Path, reader: LedgerReader) -> None:
    code = "w = Writing(STATE); w.until(w.write(added(1))); die()"
    assert outside(code, tmp_path).returncode == -signal.SIGKILL
    run = Writing(tmp_path, "run")
    assert run.ledger.open_tasks() == ()
    assert run.ledger.close()
    assert [row.state for row in reader.tasks()] == [TaskState.QUEUED]


def test_looking_into_it_from_the_same_process_takes_no_lock_from_it(tmp_path: Path) -> None:
    writing = Writing(tmp_path)
    writing.until(writing.write(added(1)))
    with LedgerReader(tmp_path) as reader:
        assert len(reader.tasks()) == 1
    prune(tmp_path, 0.0)
    # One that believes to be the last takes the log away when it goes.
    done = outside("w = Writing(STATE, 'run'); w.write(added(100)); assert w.ledger.close()", tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(f"{ledger_path(tmp_path)}-wal").exists()
    writing.until(writing.write(added(2)))
    assert writing.ledger.close()
    with LedgerReader(tmp_path) as reader:
        assert [row.task for row in reader.tasks()] == [100, 2, 1]


# Numbers.


def test_every_opener_gets_numbers_of_its_own(tmp_path: Path) -> None:
    first, second = Writing(tmp_path), Writing(tmp_path, "run")
    assert (first.ledger.first_ids, second.ledger.first_ids) == (IdsReserved(1, 10), IdsReserved(11, 10))
    first.ledger.reserve_ids(5)
    assert first.next(IdsReserved) == IdsReserved(21, 5)
    assert first.ledger.close(22)  # from 21 on, as somebody has taken numbers before it
    assert second.ledger.close(11)  # its numbers are not the last ones
    third = Writing(tmp_path)
    assert third.ledger.first_ids == IdsReserved(22, 10)
    assert third.ledger.close(22)


def test_numbers_that_nobody_got_are_given_back_over_several_blocks(tmp_path: Path) -> None:
    writing = Writing(tmp_path)
    writing.ledger.reserve_ids(10)
    assert writing.next(IdsReserved) == IdsReserved(11, 10)
    assert writing.ledger.close(4)
    again = Writing(tmp_path)
    assert again.ledger.first_ids.first == 4
    assert again.ledger.close()
    last = Writing(tmp_path)
    assert last.ledger.first_ids.first == 14  # all were given
    assert last.ledger.close()


def test_two_processes_write_one_ledger(tmp_path: Path) -> None:
    code = """
w = Writing(STATE, "run", ids=300)
first = w.ledger.first_ids.first
for task in range(first, first + 300):
    number = [w.write(each) for each in (added(task), began(task), finished(task), ended(task))][-1]
    if task % 3 == 0: w.until(number)
assert w.ledger.close()
"""
    other = subprocess.Popen([sys.executable, "-c", outsider(code, tmp_path)], cwd=HERE)
    writing = Writing(tmp_path, ids=300)
    first = writing.ledger.first_ids.first
    for task in range(first, first + 300):
        writing.until(writing.write(added(task)))
    assert other.wait(60) == 0
    assert writing.ledger.close()
    with LedgerReader(tmp_path) as reader:
        counts = reader.counts()
    assert (counts[TaskState.COMPLETED], counts[TaskState.QUEUED]) == (300, 300)


# What goes wrong.


def test_what_cannot_be_written_is_kept_and_tried_again(
    tmp_path: Path, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)
    writing = Writing(tmp_path)
    with closing(sqlite3.connect(ledger_path(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        number = writing.write(added(1))
        assert writing.next(LedgerStuck).reason == (
            f"cannot use the ledger {tmp_path}/ledger.db: another process keeps it locked"
        )
        other.execute("ROLLBACK")
    writing.next(LedgerWell)
    writing.until(number)
    assert [row.task for row in reader.tasks()] == [1]
    assert writing.ledger.close()


def test_a_disk_that_is_full_is_told_of_once(
    tmp_path: Path, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)
    writing = Writing(tmp_path)
    writing.until(writing.write(added(1)))
    writing.ledger._db.execute("PRAGMA max_page_count = 1")  # as many as there are
    number = writing.write(kept(1, data=b"x" * 500_000))
    assert writing.next(LedgerStuck).reason.endswith("ledger.db: there is no space left on its disk")
    wait_for(lambda: writing.ledger.backlog_bytes > 500_000)
    writing.ledger._db.execute("PRAGMA max_page_count = 100000")
    assert isinstance(writing.answers.get(timeout=30), LedgerWell)  # and not once more before it
    writing.until(number)
    assert [len(each.data or b"") for each in reader.results(1)] == [500_000]
    assert writing.ledger.close()


def test_a_ledger_that_stays_locked_does_not_keep_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)
    writing = Writing(tmp_path)
    with closing(sqlite3.connect(ledger_path(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing.write(added(1))
        assert not writing.ledger.close()
        other.execute("ROLLBACK")
    writing.ledger._thread.join(30)
    with LedgerReader(tmp_path) as reader:
        assert [row.task for row in reader.tasks()] == [1]


def test_a_ledger_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    ledger_path(tmp_path).write_text("no database at all, but a text" * 100)
    with pytest.raises(LedgerError, match="is no ledger, nor any other database"):
        Ledger.open(tmp_path, "up", print)


# After the machine went down.


def test_small_files_that_the_machine_took_with_it_are_written_again(tmp_path: Path) -> None:
    contents = {hashlib.sha256(data).hexdigest(): data for data in (b"whole", b"cut", b"other", b"missing")}
    paths = {sha256: object_path(tmp_path / "objects", sha256) for sha256 in contents}
    writing = Writing(tmp_path)
    writing.write(added(1))
    for number, (sha256, data) in enumerate(contents.items(), 1):
        writing.write(kept(1, number, data, str(paths[sha256]), sha256=sha256))
    assert writing.ledger.close()
    for path in paths.values():
        path.parent.mkdir(parents=True)
    whole, cut, other, _ = paths.values()
    whole.write_bytes(b"whole")
    cut.write_bytes(b"")
    other.write_bytes(b"\0\0\0\0\0")
    inode = whole.stat().st_ino

    def is_restored() -> bool:
        Writing(tmp_path).ledger.close()
        return all(path.exists() and path.read_bytes() == contents[sha256] for sha256, path in paths.items())

    assert not is_restored()  # it said goodbye
    with closing(sqlite3.connect(ledger_path(tmp_path))) as db, db:
        db.execute("UPDATE sessions SET closed_at = NULL")
    assert not is_restored()  # the machine has not been down since
    with closing(sqlite3.connect(ledger_path(tmp_path))) as db, db:
        db.execute("UPDATE sessions SET closed_at = NULL, boot = 'before'")
    assert is_restored()
    assert whole.stat().st_ino == inode


def test_no_ledger_keeps_nothing_and_holds_nobody_up() -> None:
    answers: list[Answer] = []
    ledger = NoLedger(answers.append)
    assert ledger.write(added(1)) == 0
    assert (ledger.first_ids, ledger.backlog_bytes, ledger.open_tasks()) == (IdsReserved(1, 1000), 0, ())
    ledger.reserve_ids(5)
    ledger.reserve_ids(5)
    assert answers == [IdsReserved(1001, 5), IdsReserved(1006, 5)]
    assert ledger.close(3)


def test_a_task_that_came_and_went_is_written_once() -> None:
    entries = [
        added(1),
        began(1),
        finished(1, "lost"),
        Requeued(1),
        began(1, 2),
        kept(1),
        finished(1, attempt=2),
        ended(1),
    ]
    rows = rows_of([(number, 1.0, entry) for number, entry in enumerate(entries)], 1)
    assert {kind: len(getattr(rows, kind)) for kind in STATEMENTS} == {
        **dict.fromkeys(STATEMENTS, 0),
        "added": 1,
        "began": 2,
        "kept": 1,
    }


def test_no_transaction_parts_the_end_of_an_attempt_from_what_becomes_of_its_task(writing: Writing) -> None:
    for task in range(1, 21):
        writing.write(added(task))
        writing.until(writing.write(began(task)))
        half = writing.write(finished(task))
        wait_for(writing.ledger._entries.empty)  # the writer has it, and could begin
        whole = writing.write(ended(task) if task % 2 else Requeued(task))
        assert writing.next(Committed).number == whole == half + 1


def test_a_task_whose_attempt_ended_and_nothing_else_begins_anew(tmp_path: Path, reader: LedgerReader) -> None:
    code = """
writing = Writing(STATE)
for each in (added(1), began(1), kept(1), finished(1, "failed"), added(2), began(2), kept(2)):
    writing.write(each)
writing.until(writing.write(finished(2)))
die()
"""
    assert outside(code, tmp_path).returncode == -signal.SIGKILL
    writing = Writing(tmp_path)
    try:
        tasks = writing.ledger.open_tasks()
        assert [(each.added.task, each.was_running, each.attempts) for each in tasks] == [(1, False, 1), (2, False, 1)]
        for task in (1, 2):
            row = reader.task(task)
            assert row is not None
            assert (row.state, row.results) == (TaskState.QUEUED, 0)
    finally:
        assert writing.ledger.close()
