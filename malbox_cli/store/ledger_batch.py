"""Many entries for the ledger as few rows: what came and went within one transaction is written once.

A task that was taken, sent and ended is one row and one attempt, however many entries told of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from malbox_cli.store.entries import (
    AttemptBegan,
    AttemptEnded,
    Entry,
    Noted,
    Requeued,
    ResultKept,
    TaskAdded,
    TaskEnded,
)
from malbox_cli.store.ledger_schema import config_text, to_db
from malbox_cli.store.task_states import TaskState

__all__ = ["STATEMENTS", "Rows", "rows_of", "size_of"]

_QUEUED, _RUNNING = TaskState.QUEUED.value, TaskState.RUNNING.value
_STATE, _ERROR, _SECONDS, _PARTIAL, _STARTED, _ENDED = 14, 15, 16, 17, 19, 20
"""Where in a row of `tasks` is what changes."""

# Each may be done twice with the same result: of a commit that failed nobody knows whether it is on disk after all.
STATEMENTS: dict[str, str] = {
    "voided": "DELETE FROM results WHERE task = ?",
    "added": f"INSERT OR REPLACE INTO tasks VALUES ({','.join('?' * 21)})",
    "moved": "UPDATE tasks SET state = ?, started_at = ifnull(?, started_at) WHERE task = ?",
    "ended": (
        "UPDATE tasks SET state = ?, started_at = ifnull(?, started_at), error = ?, seconds = ?, partial = ?, "
        "ended_at = ? WHERE task = ?"
    ),
    "began": "INSERT OR REPLACE INTO attempts VALUES (?,?,?,?,?,?,?)",
    "finished": "UPDATE attempts SET ended_at = ?, outcome = ?, error = ? WHERE task = ? AND attempt = ?",
    "kept": (
        "INSERT OR REPLACE INTO results (task, attempt, number, name, format, size, sha256, path, at, data) "
        "VALUES (?,?,?,?,?,?,?,?,?,?)"
    ),
    "noted": "INSERT OR REPLACE INTO notes VALUES (?,?,?,?,?)",
}
"""What to do with the rows of each kind, in this order."""

Row = tuple[Any, ...] | list[Any]


@dataclass(slots=True)
class Rows:
    """Rows for each of the `STATEMENTS`."""

    voided: list[Row] = field(default_factory=list)
    added: list[Row] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    began: list[Row] = field(default_factory=list)
    finished: list[Row] = field(default_factory=list)
    kept: list[Row] = field(default_factory=list)
    noted: list[Row] = field(default_factory=list)


def rows_of(entries: Iterable[tuple[int, float, Entry]], session: int) -> Rows:
    """Return the rows that say the same as entries do together.

    Args:
        entries: Each with its number, which no other of the session has, and the time when it was told.
        session: The number of whose entries they are.
    """
    rows = Rows()
    added: dict[int, list[Any]] = {}
    moved: dict[int, tuple[str, float | None]] = {}
    attempts: dict[tuple[int, int], list[Any]] = {}
    kept: dict[int, list[Row]] = {}
    for number, at, entry in entries:
        task = entry.task
        match entry:
            case TaskAdded():
                added[task] = _row(entry, at, session)
            case AttemptBegan(attempt=count):
                attempts[task, count] = [task, count, to_db(entry.worker), at, None, None, None]
                _move(added, moved, task, _RUNNING, at)
            case AttemptEnded(attempt=count):
                how = at, entry.outcome, _text(entry.error)
                attempt = attempts.get((task, count))
                if attempt is None:
                    rows.finished.append((*how, task, count))
                else:
                    attempt[4:] = how
            case TaskEnded():
                _end(rows, added, moved, at, entry)
            case ResultKept():
                kept.setdefault(task, []).append(_result(entry, at))
            case Requeued():
                _move(added, moved, task, _QUEUED, None)
                kept.pop(task, None)
                if task not in added:
                    rows.voided.append((task,))
            case Noted():
                rows.noted.append((session << 40 | number, task, at, entry.kind, to_db(entry.text)))
    rows.added = list(added.values())
    rows.moved = [(state, started, task) for task, (state, started) in moved.items()]
    rows.began = list(attempts.values())
    rows.kept = [row for of_task in kept.values() for row in of_task]
    return rows


def size_of(entry: Entry) -> int:
    """Return about how many bytes an entry takes while it waits."""
    if isinstance(entry, ResultKept):
        return 500 + (len(entry.data) if entry.data else 0)
    if isinstance(entry, TaskAdded):
        return 1000 + 100 * len(entry.config)
    return 300


def _row(entry: TaskAdded, at: float, session: int) -> list[Any]:
    return [
        entry.task,
        session,
        to_db(entry.plugin),
        to_db(entry.version),
        to_db(entry.sample),
        entry.sha256,
        entry.size,
        entry.fingerprint,
        _text(entry.copy),
        config_text(entry.config),
        entry.timeout,
        entry.priority,
        entry.is_detached,
        entry.retry_of,
        _QUEUED,
        None,
        None,
        False,
        at,
        None,
        None,
    ]


def _move(
    added: dict[int, list[Any]],
    moved: dict[int, tuple[str, float | None]],
    task: int,
    state: str,
    started: float | None,
) -> None:
    row = added.get(task)
    if row is None:
        before = moved.get(task)
        moved[task] = state, before[1] if started is None and before is not None else started
    else:
        row[_STATE] = state
        if started is not None:
            row[_STARTED] = started


def _end(
    rows: Rows,
    added: dict[int, list[Any]],
    moved: dict[int, tuple[str, float | None]],
    at: float,
    entry: TaskEnded,
) -> None:
    how = entry.state.value, _text(entry.error), entry.seconds, entry.partial
    row = added.get(entry.task)
    if row is None:
        started = moved.pop(entry.task, (None, None))[1]
        rows.ended.append((how[0], started, *how[1:], at, entry.task))
    else:
        row[_STATE], row[_ERROR], row[_SECONDS], row[_PARTIAL] = how
        row[_ENDED] = at


def _result(entry: ResultKept, at: float) -> Row:
    return (
        entry.task,
        entry.attempt,
        entry.number,
        to_db(entry.name),
        entry.format,
        entry.size,
        entry.sha256,
        _text(entry.path),
        at,
        entry.data,
    )


def _text(text: str | None) -> str | bytes | None:
    return None if text is None else to_db(text)
