"""Who writes a ledger: one row for each process, and what becomes of the tasks of those that are not there any more."""

import json
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from malbox_cli.store.entries import OpenTask, TaskAdded
from malbox_cli.store.ledger_schema import from_db

__all__ = ["Kind", "Opened", "begin_session", "end_session", "is_somebody_there", "reserve"]

Kind = Literal["up", "run"]

_BETWEEN_ATTEMPTS = (
    "ended_at IS NULL AND session = ? AND state = 'RUNNING' AND NOT EXISTS "
    "(SELECT 1 FROM attempts WHERE attempts.task = t.task AND attempts.ended_at IS NULL)"
)
_RUN_KILLED = "the `malbox run` that sent it was killed"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has begun.

    Attributes:
        session: Its number.
        first_id: The first of the numbers for tasks that are its own.
        tasks: The tasks that it takes over.
        unsure_since: Since when files may be missing that nobody has synced, because the machine ended too; None: none.
    """

    session: int
    first_id: int
    tasks: tuple[OpenTask, ...]
    unsure_since: float | None


def begin_session(db: sqlite3.Connection, kind: Kind, ids: int) -> Opened:
    """Enter this process into a ledger, in one transaction, and take over what is left of those that are gone.

    One that is an `up` is the only one, by a lock that its caller holds; so any other is gone. Whether a `run` is gone
    its process tells. Its tasks have ended with it, since nobody waits for them.

    Raises:
        sqlite3.Error: It cannot be written to.
    """
    now, boot = time.time(), _boot_id()
    db.execute("BEGIN IMMEDIATE")
    try:
        gone = [row for row in _open_sessions(db) if _is_gone(row, kind, boot)]
        unsure = [opened_at for _, _, _, _, of_boot, opened_at in gone if of_boot != boot]
        session = db.execute(
            "INSERT INTO sessions (kind, pid, started, boot, opened_at) VALUES (?,?,?,?,?)",
            (kind, os.getpid(), _started(os.getpid()), boot, now),
        ).lastrowid
        assert session is not None
        for number, of_kind, *_ in gone:
            db.execute("UPDATE sessions SET closed_at = ? WHERE session = ?", (now, number))
            if of_kind == "run":
                _end_tasks_of(db, number, now)
        # One that said goodbye may have left tasks too: a supervisor its queue, on purpose.
        for (number,) in db.execute(
            "SELECT DISTINCT session FROM tasks JOIN sessions USING (session) "
            "WHERE ended_at IS NULL AND closed_at IS NOT NULL AND kind = 'run'"
        ).fetchall():
            _end_tasks_of(db, number, now)
        tasks = _adopt(db, session, now) if kind == "up" else ()
        first_id = reserve(db, ids)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return Opened(session, first_id, tasks, min(unsure) if unsure else None)


def end_session(db: sqlite3.Connection, session: int, own: tuple[int, int], unused_from: int | None) -> None:
    """Say goodbye, within a transaction of the caller's, and give back the numbers at the end that nobody needs.

    Args:
        db: The ledger.
        session: Whose.
        own: The newest numbers that are its own, from and up to before.
        unused_from: From which on they were not given to tasks; None: all were.
    """
    db.execute("UPDATE sessions SET closed_at = ? WHERE session = ?", (time.time(), session))
    if unused_from is not None:
        db.execute(
            "UPDATE counters SET value = max(?, ?) WHERE name = 'next_task' AND value = ?",
            (unused_from, own[0], own[1]),
        )


def is_somebody_there(db: sqlite3.Connection) -> bool:
    """Return whether a process that is alive has a session.

    Raises:
        sqlite3.Error: The ledger cannot be read.
    """
    boot = _boot_id()
    return any(of_boot == boot and _started(pid) == start for _, _, pid, start, of_boot, _ in _open_sessions(db))


def reserve(db: sqlite3.Connection, count: int) -> int:
    """Return the first of so many numbers for tasks, within a transaction of the caller's.

    Raises:
        sqlite3.Error: The ledger cannot be written to.
    """
    (first,) = db.execute("SELECT value FROM counters WHERE name = 'next_task'").fetchone()
    db.execute("UPDATE counters SET value = ? WHERE name = 'next_task'", (first + count,))
    return int(first)


def _open_sessions(db: sqlite3.Connection) -> list[tuple[int, str, int, int, str, float]]:
    return db.execute(
        "SELECT session, kind, pid, started, boot, opened_at FROM sessions WHERE closed_at IS NULL"
    ).fetchall()


def _is_gone(row: tuple[int, str, int, int, str, float], kind: Kind, boot: str) -> bool:
    _, of_kind, pid, started, of_boot, _ = row
    if of_kind == "up":
        return kind == "up"
    return of_boot != boot or _started(pid) != started


def _end_tasks_of(db: sqlite3.Connection, session: int, now: float) -> None:
    db.execute(
        "UPDATE attempts SET ended_at = ?, outcome = 'interrupted', error = ? WHERE ended_at IS NULL AND task IN "
        "(SELECT task FROM tasks WHERE ended_at IS NULL AND session = ?)",
        (now, _RUN_KILLED, session),
    )
    db.execute(
        "UPDATE tasks SET state = 'FAILED', error = ?, seconds = max(0, ? - ifnull(started_at, added_at)), "
        "partial = EXISTS (SELECT 1 FROM results WHERE results.task = tasks.task), ended_at = ? "
        "WHERE ended_at IS NULL AND session = ?",
        (_RUN_KILLED, now, now, session),
    )


def _adopt(db: sqlite3.Connection, session: int, now: float) -> tuple[OpenTask, ...]:
    """Make the open tasks of those that are gone this session's own, and return them in the order of their numbers."""
    db.execute(
        "UPDATE tasks SET session = ? WHERE ended_at IS NULL AND session IN "
        "(SELECT session FROM sessions WHERE closed_at IS NOT NULL)",
        (session,),
    )
    # Where it was not written any more what an attempt that ended means for its task, that is done again.
    db.execute(f"DELETE FROM results WHERE task IN (SELECT task FROM tasks t WHERE {_BETWEEN_ATTEMPTS})", (session,))
    db.execute(f"UPDATE tasks AS t SET state = 'QUEUED' WHERE {_BETWEEN_ATTEMPTS}", (session,))
    return tuple(
        _open_task(row, now)
        for row in db.execute(
            "SELECT task, plugin, version, sample, sha256, size, fingerprint, copy, config, timeout, priority, "
            "is_detached, retry_of, added_at, "
            "(SELECT count(*) FROM attempts WHERE task = t.task AND ended_at IS NULL), "
            "(SELECT count(*) FROM attempts WHERE task = t.task), "
            "(SELECT count(*) FROM attempts WHERE task = t.task AND outcome = 'lost'), "
            "(SELECT count(*) FROM attempts WHERE task = t.task AND outcome = 'failed'), "
            "(SELECT text FROM notes WHERE task = t.task AND kind = 'cancel' AND at >= t.started_at LIMIT 1) "
            "FROM tasks t WHERE ended_at IS NULL AND session = ? ORDER BY task",
            (session,),
        )
    )


def _open_task(row: tuple[Any, ...], now: float) -> OpenTask:
    (task, plugin, version, sample, sha256, size, fingerprint, copy, config, timeout, priority, is_detached) = row[:12]
    retry_of, added_at, running, attempts, lost, failed, canceled = row[12:]
    added = TaskAdded(
        task=task,
        plugin=from_db(plugin),
        version=from_db(version),
        sample=from_db(sample),
        sha256=sha256,
        size=size,
        fingerprint=fingerprint,
        copy=None if copy is None else from_db(copy),
        config=json.loads(config),
        timeout=timeout,
        priority=priority,
        is_detached=bool(is_detached),
        retry_of=retry_of,
    )
    age, why = max(0.0, now - added_at), None if canceled is None else from_db(canceled)
    return OpenTask(added, running > 0, attempts, lost, failed, age, why)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """Return when a process was started, in the kernel's ticks; None: there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
