"""Holds back what is to be announced until the ledger has on disk what was decided before it."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from malbox_cli.control.records import Progress, Record, Refused
from malbox_cli.store.entries import Entry

__all__ = ["LedgerGate"]

MAX_BACKLOG_BYTES = 8 << 20
"""How much may wait for the ledger's disk before plugins have to wait with what they push."""

MAX_HELD_PROGRESS = 64
"""How much may wait of a task before its progress is not kept any more but for the last."""

MAX_SETTLED = 1024
"""How many tasks' marks are kept although nothing of them waits any more: forgetting each by itself costs more."""


Announced = list[tuple[int, Record]]
"""A record for each of the clients that get it."""


class Writes(Protocol):
    """What the gate needs of the ledger."""

    @property
    def backlog_bytes(self) -> int:
        """About how many bytes wait for the disk."""

    def write(self, entry: Entry) -> int:
        """Queue an entry, and return its number; they count up."""


class LedgerGate:
    """The way out for what is announced; the records of a task keep their order.

    Args:
        ledger: Where entries go. Whoever hears from it calls `kept`.
        emit: Takes a record, with the client that it is for.
        grant: Lets a task's plugin send another frame.
    """

    def __init__(self, ledger: Writes, emit: Callable[[int, Record], None], grant: Callable[[int], None]) -> None:
        self._ledger = ledger
        self._emit = emit
        self._grant = grant
        self._kept = 0
        self._last: dict[int, int] = {}
        self._held: deque[tuple[int, int, Announced | Callable[[], None]]] = deque()
        self._held_of: Counter[int] = Counter()
        self._newest: dict[int, Announced] = {}
        self._for_room: deque[tuple[int, Callable[[int], None]]] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._held

    def write(self, entry: Entry) -> None:
        """Put an entry in the ledger."""
        self._last[entry.task] = self._ledger.write(entry)

    def emit(self, client: int, record: Record) -> None:
        """Announce a record once everything of its task that was written before is on disk."""
        if isinstance(record, Refused):  # it is about no task
            self._emit(client, record)
            return
        task_id = record.task
        if not self._has_to_wait(task_id):
            self._emit(client, record)
            return
        newest = self._newest.get(task_id)
        too_much = self._held_of[task_id] >= MAX_HELD_PROGRESS
        if isinstance(record, Progress) and too_much and newest and isinstance(newest[-1][1], Progress):
            # A disk that stands still; of the progress that nobody could see only the last counts.
            newest[:] = [(listener, record) for listener, _ in newest]
            if client not in [listener for listener, _ in newest]:
                newest.append((client, record))
            return
        announcement: Announced = [(client, record)]
        self._hold(task_id, announcement)
        self._newest[task_id] = announcement

    def when_kept(self, task_id: int, then: Callable[[], None]) -> None:
        """Call once everything of a task that was written and announced before is on disk, and told."""
        if self._has_to_wait(task_id):
            self._hold(task_id, then)
            self._newest.pop(task_id, None)
        else:
            then()

    def grant(self, task_id: int) -> None:
        """Let a task's plugin send another frame, once not too much waits for the disk."""
        self.when_room(task_id, self._grant)

    def when_room(self, task_id: int, then: Callable[[int], None]) -> None:
        """Call with a task's number once not too much waits for the disk."""
        if self._for_room or self._ledger.backlog_bytes > MAX_BACKLOG_BYTES:
            self._for_room.append((task_id, then))
        else:
            then(task_id)

    def closed(self, task_id: int) -> None:
        """Take note that a task's plugin sends no more: a credit that waits is not one for the task's next attempt."""
        if self._for_room:
            self._for_room = deque(each for each in self._for_room if each != (task_id, self._grant))

    def kept(self, number: int) -> None:
        """Take note that everything up to an entry is on disk."""
        self._kept = number
        while self._held and self._held[0][0] <= number:
            _, task_id, what = self._held.popleft()
            self._held_of[task_id] -= 1
            if not self._held_of[task_id]:
                del self._held_of[task_id]
                self._newest.pop(task_id, None)
            if isinstance(what, list):
                for client, record in what:
                    self._emit(client, record)
            else:
                what()
        if len(self._last) > MAX_SETTLED:
            self._last = {task_id: last for task_id, last in self._last.items() if last > number}
        while self._for_room and self._ledger.backlog_bytes <= MAX_BACKLOG_BYTES:
            task_id, then = self._for_room.popleft()
            then(task_id)

    def _has_to_wait(self, task_id: int) -> bool:
        return self._last.get(task_id, 0) > self._kept or task_id in self._held_of

    def _hold(self, task_id: int, what: Announced | Callable[[], None]) -> None:
        self._held.append((self._last.get(task_id, 0), task_id, what))
        self._held_of[task_id] += 1
