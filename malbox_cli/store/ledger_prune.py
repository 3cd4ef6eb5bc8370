"""Removes from the ledger the tasks that ended long ago, a few at a time, so that its writer never waits for long."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from malbox_cli.store.ledger_schema import connect, ledger_path, make, translated
from malbox_cli.store.ledger_sessions import is_somebody_there

__all__ = ["LedgerPruner"]

MAX_TASKS = 200
"""How many tasks go in one transaction: a few milliseconds."""
MAX_PAGES = 500
BUSY_MILLISECONDS = 10_000


class LedgerPruner:
    """The rows of a state folder's ledger that are to go; where there is no ledger there are none.

    Args:
        state_dir: The state folder.
        before: Tasks that ended before this time go.

    Raises:
        LedgerError: The ledger cannot be used. So do all methods.
    """

    def __init__(self, state_dir: Path, before: float) -> None:
        self._path = ledger_path(state_dir)
        self._before = before
        self._db: sqlite3.Connection | None = None
        if self._path.exists():
            self._db = connect(self._path)
            try:
                make(self._db, self._path)
                with translated(self._path):
                    self._db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._db is not None:
            self._db.close()

    @property
    def is_in_use(self) -> bool:
        """Whether a process that is alive has it open to write."""
        with self._connection() as db:
            return db is not None and is_somebody_there(db)

    def count(self) -> tuple[int, int, int]:
        """Return how many tasks, results, and bytes of results within the ledger are to go."""
        with self._connection() as db:
            if db is None:
                return 0, 0, 0
            (tasks,) = db.execute("SELECT count(*) FROM tasks WHERE ended_at < ?", (self._before,)).fetchone()
            results, size = db.execute(
                "SELECT count(*), ifnull(sum(length(data)), 0) FROM results JOIN tasks USING (task) "
                "WHERE tasks.ended_at < ?",
                (self._before,),
            ).fetchone()
            return int(tasks), int(results), int(size)

    def remove(self) -> tuple[int, int, int]:
        """Remove them, and return how many they were, as `count` does."""
        tasks = results = size = 0
        with self._connection() as db:
            while db is not None:
                started = time.monotonic()
                db.execute("BEGIN IMMEDIATE")
                try:
                    some = db.execute(
                        "SELECT task FROM tasks WHERE ended_at < ? LIMIT ?", (self._before, MAX_TASKS)
                    ).fetchall()
                    for task in some:
                        of_task = db.execute(
                            "SELECT count(*), ifnull(sum(length(data)), 0) FROM results WHERE task = ?", task
                        ).fetchone()
                        results, size = results + of_task[0], size + of_task[1]
                        for table in ("results", "notes", "attempts", "tasks"):
                            db.execute(f"DELETE FROM {table} WHERE task = ?", task)
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                tasks += len(some)
                if len(some) < MAX_TASKS:
                    break
                _let_others(started)
        return tasks, results, size

    def tidy(self) -> None:
        """Give back the room of what was removed."""
        with self._connection() as db:
            if db is None:
                return
            # The newest session stays, so that its number is not given again.
            db.execute(
                "DELETE FROM sessions WHERE closed_at < ? AND session NOT IN (SELECT session FROM tasks) "
                "AND session < (SELECT max(session) FROM sessions)",
                (self._before,),
            )
            while db.execute("PRAGMA freelist_count").fetchone()[0]:
                started = time.monotonic()
                db.execute(f"PRAGMA incremental_vacuum({MAX_PAGES})").fetchall()
                _let_others(started)

    def has_result(self, sha256: str) -> bool:
        """Return whether a task that stays has a result with this content in a file."""
        return self._has(
            "SELECT 1 FROM results JOIN tasks USING (task) WHERE results.sha256 = ? AND path IS NOT NULL "
            "AND (ended_at IS NULL OR ended_at >= ?) LIMIT 1",
            sha256,
        )

    def has_sample(self, sha256: str) -> bool:
        """Return whether a task that stays has a copy of the sample with this content."""
        return self._has(
            "SELECT 1 FROM tasks WHERE sha256 = ? AND copy IS NOT NULL AND (ended_at IS NULL OR ended_at >= ?) LIMIT 1",
            sha256,
        )

    def _has(self, sql: str, sha256: str) -> bool:
        with self._connection() as db:
            return db is not None and db.execute(sql, (sha256, self._before)).fetchone() is not None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        with translated(self._path):
            yield self._db


def _let_others(started: float) -> None:
    """Leave the lock to others for as long as it was held; SQLite does not queue for it."""
    time.sleep(max(0.002, time.monotonic() - started))
