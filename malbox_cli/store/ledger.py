"""Writes the ledger, on a thread of its own: what it is told goes to disk in few transactions, and nobody waits for it.

A supervisor announces what is about a task only once the ledger has said that it is on disk (`Committed`). What cannot
be written is kept, and tried again; nothing is ever dropped.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from malbox_cli.store.entries import AttemptBegan, AttemptEnded, Entry, OpenTask
from malbox_cli.store.ledger_batch import STATEMENTS, rows_of, size_of
from malbox_cli.store.ledger_schema import connect, explain, ledger_path, make, translated
from malbox_cli.store.ledger_sessions import Kind, Opened, begin_session, end_session, reserve
from malbox_cli.store.objects import restore_small
from malbox_cli.supervisor.events import IdsReserved, LedgerStuck, LedgerWell

__all__ = ["Committed", "Ledger", "LedgerWriter", "NoLedger"]

FIRST_IDS = 1000
LINGER_SECONDS = 0.0003
"""How long a transaction that has the beginning of an attempt waits for its end before it begins.

An empty task ends 130 µs after it was sent, and a transaction takes 250 µs: in one instead of two it is on disk after
470 µs instead of 610. Where many wait, the next one is sent as soon as one has ended, so that the end of one and the
beginning of the next come together: they wait for the end of the next, and a transaction has six tasks instead of four.
"""
MAX_BATCH = 4096
"""How many entries one transaction takes, and one more where that belongs to the last."""
PAIR_SECONDS = 0.05
"""How long the end of an attempt waits for what becomes of its task, which is told right after it.

Between the two the task would be one that nobody works on and that has not ended: who finds it so would do it again.
"""
RETRY_SECONDS = 0.5
CLOSE_SECONDS = 2.0
CHECKPOINT_PAGES = 8000
"""How long the log gets, 16 MiB, before it is copied into the database, which takes about 7 ms; with 2,000 that is as
long, and four times as often. The file keeps its size: to overwrite is cheaper than to grow."""


@dataclass(frozen=True, slots=True)
class Committed:
    """All entries up to this number are on disk."""

    number: int


Answer = Committed | IdsReserved | LedgerStuck | LedgerWell


class LedgerWriter(Protocol):
    """What a supervisor needs of a ledger."""

    @property
    def first_ids(self) -> IdsReserved:
        """The first numbers for tasks."""

    @property
    def backlog_bytes(self) -> int:
        """About how many bytes are not on disk yet."""

    def open_tasks(self) -> tuple[OpenTask, ...]:
        """Return the tasks that were taken over."""

    def write(self, entry: Entry) -> int:
        """Write an entry, later, and return its number; 0: there is nothing to wait for. Does not block."""

    def reserve_ids(self, count: int) -> None:
        """Get numbers for further tasks; answered by IdsReserved."""

    def close(self, unused_from: int | None = None) -> bool:
        """Finish what was given; return whether that is done. From `unused_from` on no task got a number."""


@dataclass(frozen=True, slots=True)
class _Reserve:
    count: int


class Ledger:
    """The thread that writes a ledger. All of its methods are for one other thread.

    Args:
        db: The connection, which is the thread's from now on.
        path: The file.
        opened: The session.
        ids: How many numbers it has got.
        say: Takes the answers; called on the thread.
    """

    def __init__(
        self, db: sqlite3.Connection, path: Path, opened: Opened, ids: int, say: Callable[[Answer], None]
    ) -> None:
        self._db = db
        self._path = path
        self._session = opened.session
        self._tasks = opened.tasks
        self._first_ids = IdsReserved(opened.first_id, ids)
        self._own = opened.first_id, opened.first_id + ids
        self._say = say
        self._entries: queue.SimpleQueue[tuple[int, float, Entry | _Reserve] | None] = queue.SimpleQueue()
        self._number = 0
        self._bytes_given = self._bytes_done = 0  # each has one thread that changes it
        self._closing = threading.Event()
        self._unused_from: int | None = None
        # It may stand still in a write for ever, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="malbox-ledger", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, state_dir: Path, kind: Kind, say: Callable[[Answer], None], *, ids: int = FIRST_IDS) -> "Ledger":
        """Open a state folder's ledger, and make it if there is none.

        The tasks of processes that are gone are seen to: an `up` takes over those of an `up`, and those of a `run`
        have failed. Reads and writes before it returns.

        Raises:
            LedgerError: It cannot be used; the text says why and what to do.
        """
        path = ledger_path(state_dir)
        db = connect(path)
        try:
            make(db, path)
            with translated(path):
                db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
                opened = begin_session(db, kind, ids)
                if opened.unsure_since is not None:
                    restore_small(state_dir, _small_results(db, opened.unsure_since))
        except BaseException:
            db.close()
            raise
        return cls(db, path, opened, ids, say)

    @property
    def first_ids(self) -> IdsReserved:
        """The first numbers for tasks."""
        return self._first_ids

    @property
    def backlog_bytes(self) -> int:
        """About how many bytes are not on disk yet."""
        return self._bytes_given - self._bytes_done

    def open_tasks(self) -> tuple[OpenTask, ...]:
        """Return the tasks that were taken over, the oldest first."""
        return self._tasks

    def write(self, entry: Entry) -> int:
        """Write an entry, later, and return its number, which Committed answers. Does not block."""
        number = self._number = self._number + 1
        self._bytes_given += size_of(entry)
        self._entries.put((number, time.time(), entry))
        return number

    def reserve_ids(self, count: int) -> None:
        """Get numbers for further tasks; answered by IdsReserved."""
        self._number += 1
        self._entries.put((self._number, 0.0, _Reserve(count)))

    def close(self, unused_from: int | None = None) -> bool:
        """Write what was given, and end the thread; return whether that is done.

        Where the disk has not taken everything within two seconds the thread is left to it, and ends with the process.

        Args:
            unused_from: The first number that no task has got; None: all have been given.
        """
        self._unused_from = unused_from
        self._closing.set()
        self._entries.put(None)
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    # What the thread runs.

    def _run(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._gather()
            if batch:
                self._commit(batch)
        self._until_well(self._say_goodbye)
        with suppress(sqlite3.Error):  # it is all on disk; only the log is not tidied up
            self._db.close()

    def _gather(self) -> tuple[list[tuple[int, float, Entry | _Reserve]], bool]:
        """Return what is to be written next, and whether nothing comes after it."""
        batch: list[tuple[int, float, Entry | _Reserve]] = []
        begun: set[int] = set()
        until: float | None = None  # there is something
        is_half = False
        while len(batch) < MAX_BATCH or is_half:
            wait = PAIR_SECONDS if is_half else None if until is None else max(0.0, until - time.monotonic())
            try:
                item = self._entries.get(timeout=wait)
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
            entry = item[2]
            is_half = isinstance(entry, AttemptEnded)
            if isinstance(entry, AttemptBegan):
                begun.add(entry.task)
            elif isinstance(entry, AttemptEnded):
                begun.discard(entry.task)
            if until is None:
                until = time.monotonic() + LINGER_SECONDS
            if not begun and not is_half and self._entries.empty():
                break
        return batch, False

    def _commit(self, batch: list[tuple[int, float, Entry | _Reserve]]) -> None:
        entries: list[tuple[int, float, Entry]] = []
        wanted: list[int] = []
        for number, at, entry in batch:
            if isinstance(entry, _Reserve):
                wanted.append(entry.count)
            else:
                entries.append((number, at, entry))
        rows = rows_of(entries, self._session)
        work = [(sql, some) for kind, sql in STATEMENTS.items() if (some := getattr(rows, kind))]
        reserved: list[IdsReserved] = []

        def write() -> None:
            for sql, some in work:
                self._db.executemany(sql, some)
            reserved[:] = [IdsReserved(reserve(self._db, count), count) for count in wanted]

        self._until_well(write)
        self._bytes_done += sum(size_of(entry) for _, _, entry in entries)
        for ids in reserved:
            first, end = self._own
            self._own = (first if ids.first == end else ids.first), ids.first + ids.count
            self._say(ids)
        self._say(Committed(batch[-1][0]))

    def _say_goodbye(self) -> None:
        end_session(self._db, self._session, self._own, self._unused_from)

    def _until_well(self, write: Callable[[], None]) -> None:
        """Do something in a transaction of its own, again and again until it is on disk."""
        is_stuck = False
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                write()
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):  # a full disk has done it already
                    self._db.execute("ROLLBACK")
                if not is_stuck:
                    is_stuck = True
                    self._say(LedgerStuck(explain(self._path, error)))
                time.sleep(RETRY_SECONDS)
            else:
                if is_stuck:
                    self._say(LedgerWell())
                return


class NoLedger:
    """Keeps nothing: what it is told counts as written.

    Args:
        say: Takes the answers; called at once.
    """

    def __init__(self, say: Callable[[Answer], None]) -> None:
        self._say = say
        self._next = FIRST_IDS + 1

    @property
    def first_ids(self) -> IdsReserved:
        """The first numbers for tasks."""
        return IdsReserved(1, FIRST_IDS)

    @property
    def backlog_bytes(self) -> int:
        """Nothing ever waits."""
        return 0

    def open_tasks(self) -> tuple[OpenTask, ...]:
        """Return nothing."""
        return ()

    def write(self, entry: Entry) -> int:
        """Do nothing, and return 0: there is nothing to wait for."""
        del entry
        return 0

    def reserve_ids(self, count: int) -> None:
        """Get numbers for further tasks; answered by IdsReserved before it returns."""
        first, self._next = self._next, self._next + count
        self._say(IdsReserved(first, count))

    def close(self, unused_from: int | None = None) -> bool:
        """Do nothing."""
        del unused_from
        return True


def _small_results(db: sqlite3.Connection, since: float) -> list[tuple[str, bytes]]:
    """Return the digests and bytes of the results that are files too, of a time or later."""
    return db.execute(
        "SELECT DISTINCT sha256, data FROM results WHERE data IS NOT NULL AND path IS NOT NULL AND at >= ?", (since,)
    ).fetchall()
