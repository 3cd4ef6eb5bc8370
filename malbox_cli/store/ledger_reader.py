"""Looks into the ledger, beside the supervisor that writes it and without one."""

import errno
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, ResultRow, TaskFilter, TaskRow
from malbox_cli.store.ledger_schema import (
    BUSY_SECONDS,
    LedgerError,
    config_text,
    from_db,
    ledger_path,
    require_ours,
    to_db,
    translated,
)
from malbox_cli.store.task_states import TaskState

__all__ = ["LedgerReader"]

_TASK = """SELECT task, plugin, version, sample, sha256, size, config, timeout, priority, is_detached, retry_of, state,
    error, seconds, partial, added_at, started_at, ended_at,
    (SELECT count(*) FROM attempts WHERE attempts.task = tasks.task),
    (SELECT count(*) FROM results WHERE results.task = tasks.task)
FROM tasks"""
_MIN_DIGITS = 6
_MAX_VALUES = 500
"""How many values one statement is given; SQLite takes no more than 32,766."""
_HEXADECIMAL = frozenset("0123456789abcdef")


class LedgerReader:
    """Reads a state folder's ledger. Where there is none yet it is empty.

    Each answer is what was committed when it was asked for. A use as a context manager closes it.

    Args:
        state_dir: The state folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = ledger_path(state_dir)
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; asking again opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def tasks(self, which: TaskFilter = TaskFilter()) -> list[TaskRow]:  # noqa: B008 -- it is frozen
        """Return tasks, the newest first.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        if which.sample is None and (which.states or which.plugins):
            with self._snapshot():
                return self._tasks_of(which)
        where, values = _conditions(which)
        if which.since is not None:
            where, values = f"{where} AND task >= ?", [*values, self._first_since(which.since)]
        limit = -1 if which.limit is None else which.limit
        return self._task_rows(f"WHERE {where} ORDER BY task DESC LIMIT ?", [*values, limit])

    def task(self, task: int) -> TaskRow | None:
        """Return one task, or None where there is none of that number.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        rows = self._task_rows("WHERE task = ?", [task])
        return rows[0] if rows else None

    def attempts(self, task: int) -> list[AttemptRow]:
        """Return a task's attempts, the first one first.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        sql = "SELECT attempt, worker, began_at, ended_at, outcome, error FROM attempts WHERE task = ? ORDER BY attempt"
        return [
            AttemptRow(attempt, from_db(worker), began, ended, outcome, _text(error))
            for attempt, worker, began, ended, outcome, error in self._rows(sql, [task])
        ]

    def results(self, task: int) -> list[ResultRow]:
        """Return a task's results, in the plugin's order.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        sql = (
            "SELECT attempt, number, name, format, size, sha256, data, path, at FROM results WHERE task = ? "
            "ORDER BY attempt, number"
        )
        return [
            ResultRow(attempt, number, from_db(name), form, size, sha256, data, _text(path), at)
            for attempt, number, name, form, size, sha256, data, path, at in self._rows(sql, [task])
        ]

    def notes(self, task: int) -> list[NoteRow]:
        """Return what was noted of a task, in order.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        sql = "SELECT at, kind, text FROM notes WHERE task = ? ORDER BY note"
        return [NoteRow(at, kind, from_db(text)) for at, kind, text in self._rows(sql, [task])]

    def counts(self) -> dict[TaskState, int]:
        """Return how many tasks there are in each state.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        counts = dict.fromkeys(TaskState, 0)
        for open_or_not in ("ended_at IS NULL", "ended_at IS NOT NULL"):
            sql = f"SELECT state, count(*) FROM tasks WHERE {open_or_not} GROUP BY state"
            for state, count in self._rows(sql, ()):
                counts[TaskState(state)] += count
        return counts

    def find_completed(self, plugin: str, version: str, config: Mapping[str, str], sha256: str) -> TaskRow | None:
        """Return the newest task that ended well and whole, of this plugin, version, configuration and content.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        rows = self._task_rows(
            "WHERE sha256 = ? AND +plugin = ? AND version = ? AND config = ? AND +state = ? AND NOT partial "
            "ORDER BY task DESC LIMIT 1",
            [sha256, to_db(plugin), to_db(version), config_text(config), TaskState.COMPLETED.value],
        )
        return rows[0] if rows else None

    def _tasks_of(self, which: TaskFilter) -> list[TaskRow]:
        """Return the newest tasks of states and plugins: the newest of each, which an index has in order, merged."""
        limit = -1 if which.limit is None else which.limit
        of_plugins: list[tuple[str, list[str | bytes]]] = [(" AND plugin = ?", [to_db(each)]) for each in which.plugins]
        span, span_values = "", list[float]()
        if which.since is not None:
            span, span_values = " AND task >= ? AND added_at >= ?", [self._first_since(which.since), which.since]
        if which.before is not None:
            span, span_values = f"{span} AND task < ?", [*span_values, which.before]
        found: list[int] = []
        for state in which.states or TaskState:
            index, end = "tasks_open", "ended_at IS NULL"
            if state.is_final:
                index, end = "tasks_by_plugin" if of_plugins else "tasks_by_state", "ended_at IS NOT NULL"
            for condition, values in of_plugins or [("", [])]:
                sql = (
                    f"SELECT task FROM tasks INDEXED BY {index} WHERE {end} AND state = ?{condition}{span} "
                    "ORDER BY task DESC LIMIT ?"
                )
                found += [task for (task,) in self._rows(sql, [state.value, *values, *span_values, limit])]
        found.sort(reverse=True)
        if which.limit is not None:
            del found[which.limit :]
        rows: list[TaskRow] = []
        for start in range(0, len(found), _MAX_VALUES):
            some = found[start : start + _MAX_VALUES]
            rows += self._task_rows(f"WHERE task IN ({_marks(some)}) ORDER BY task DESC", some)
        return rows

    def _first_since(self, since: float) -> int:
        """Return the least number of those that were taken since a time: there are few, or most are wanted."""
        ((first,),) = self._rows(
            "SELECT min(task) FROM tasks INDEXED BY tasks_by_time WHERE added_at >= ?", [since]
        ) or [(None,)]
        return 1 << 62 if first is None else int(first)

    def _task_rows(self, which: str, values: Sequence[object]) -> list[TaskRow]:
        return [_task_row(row) for row in self._rows(f"{_TASK} {which}", values)]

    def _rows(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with translated(self._path):
            db = self._db or self._connect()
            return [] if db is None else db.execute(sql, tuple(values)).fetchall()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Let all questions in the block be answered from one state of the ledger."""
        with translated(self._path):
            db = self._db or self._connect()
            if db is None:
                yield
                return
            db.execute("BEGIN")
            try:
                yield
            finally:
                db.execute("ROLLBACK")

    def _connect(self) -> sqlite3.Connection | None:
        try:
            self._path.stat()  # not open: to close it takes the locks away that a writer in this process has on it
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"cannot read the ledger {self._path}: {error.strerror}") from error
        if not os.access(self._path, os.R_OK, effective_ids=True):
            raise LedgerError(f"cannot read the ledger {self._path}: {os.strerror(errno.EACCES)}")
        db = self._open("mode=ro")
        try:
            is_there = require_ours(db, self._path)
        except sqlite3.OperationalError as error:
            db.close()
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            # A folder that is read-only has no room for what readers share. Nobody writes there either, so the file
            # is all there is, unless a writer that was killed left its log.
            log = Path(f"{self._path}-wal")
            if log.exists() and log.stat().st_size:
                raise LedgerError(
                    f"cannot read the ledger {self._path}: its writer was killed, and the folder is read-only for this "
                    "user: copy ledger.db and ledger.db-wal to another folder and read them there"
                ) from error
            db = self._open("immutable=1")
            is_there = require_ours(db, self._path)
        except BaseException:
            db.close()
            raise
        if not is_there:  # its first writer has only begun
            db.close()
            return None
        self._db = db
        return db

    def _open(self, how: str) -> sqlite3.Connection:
        uri = f"file:{quote(os.fsencode(self._path.absolute()))}?{how}"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _conditions(which: TaskFilter) -> tuple[str, list[object]]:
    conditions, values = ["1"], list[object]()
    if which.states:
        conditions.append(f"+state IN ({_marks(which.states)})")
        values += [state.value for state in which.states]
    if which.plugins:
        conditions.append(f"+plugin IN ({_marks(which.plugins)})")
        values += [to_db(plugin) for plugin in which.plugins]
    if which.sample is not None:
        digits = which.sample.lower()
        if len(digits) >= _MIN_DIGITS and _HEXADECIMAL.issuperset(digits):
            # A text that begins with these digits is in this range, which an index knows.
            conditions.append("(sha256 >= ? AND sha256 < ? OR sample = ?)")
            values += [digits, f"{digits}g", to_db(which.sample)]
        else:
            conditions.append("sample = ?")
            values.append(to_db(which.sample))
    if which.since is not None:
        conditions.append("added_at >= ?")
        values.append(which.since)
    if which.before is not None:
        conditions.append("task < ?")
        values.append(which.before)
    return " AND ".join(conditions), values


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))


def _text(value: str | bytes | None) -> str | None:
    return None if value is None else from_db(value)


def _task_row(row: tuple[Any, ...]) -> TaskRow:
    (task, plugin, version, sample, sha256, size, config, timeout, priority, is_detached, retry_of, state) = row[:12]
    (error, seconds, partial, added_at, started_at, ended_at, attempts, results) = row[12:]
    return TaskRow(
        task=task,
        plugin=from_db(plugin),
        version=from_db(version),
        sample=from_db(sample),
        sha256=sha256,
        size=size,
        config=json.loads(config),
        timeout=timeout,
        priority=priority,
        is_detached=bool(is_detached),
        retry_of=retry_of,
        state=TaskState(state),
        error=_text(error),
        seconds=seconds,
        partial=bool(partial),
        added_at=added_at,
        started_at=started_at,
        ended_at=ended_at,
        attempts=attempts,
        results=results,
    )
