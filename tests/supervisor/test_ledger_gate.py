"""What is announced waits for the ledger, in order, and no longer than it has to."""

from collections.abc import Callable

import pytest

from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Refused
from malbox_cli.store.entries import Entry, Noted
from malbox_cli.store.ledger import NoLedger
from malbox_cli.supervisor.ledger_gate import MAX_BACKLOG_BYTES, MAX_HELD_PROGRESS, MAX_SETTLED, LedgerGate


class Ledger:
    """One that keeps what it is told in memory, and says by hand what is on disk."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.backlog_bytes = 0

    def write(self, entry: Entry) -> int:
        self.entries.append(entry)
        return len(self.entries)


class Rig:
    def __init__(self) -> None:
        self.ledger = Ledger()
        self.told: list[tuple[int, Record | str]] = []
        self.granted: list[int] = []
        self.gate = LedgerGate(self.ledger, lambda *told: self.told.append(told), self.granted.append)

    def write(self, task: int) -> None:
        self.gate.write(Noted(task, "warning", "x"))

    def emit(self, task: int, record: Record | None = None, client: int = 1) -> None:
        self.gate.emit(client, record or accepted(task))

    def say(self, text: str) -> Callable[[], None]:
        return lambda: self.told.append((0, text))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def accepted(task: int) -> Accepted:
    return Accepted(task, "p", "/s", "00")


def ended(task: int) -> Ended:
    return Ended(task, "p", Outcome.COMPLETED, None, 0.0)


def test_what_was_written_before_is_on_disk_when_a_record_is_announced(rig: Rig) -> None:
    rig.write(1)
    rig.emit(1)
    rig.write(1)
    rig.emit(1, ended(1))
    assert rig.told == []
    rig.gate.kept(1)
    assert rig.told == [(1, accepted(1))]
    assert not rig.gate.is_empty
    rig.gate.kept(2)
    assert rig.told == [(1, accepted(1)), (1, ended(1))]
    assert rig.gate.is_empty


def test_a_task_of_which_nothing_waits_is_announced_at_once(rig: Rig) -> None:
    rig.write(1)
    rig.emit(1)
    rig.emit(2, Progress(2, 0.5, "x"))
    assert rig.told == [(1, Progress(2, 0.5, "x"))]


def test_a_record_never_overtakes_another_of_its_task(rig: Rig) -> None:
    rig.write(1)
    rig.write(2)
    rig.emit(2)
    rig.emit(1)
    rig.gate.kept(1)  # the second task's is in front
    rig.emit(1, ended(1))
    rig.gate.kept(2)
    assert [record for _, record in rig.told] == [accepted(2), accepted(1), ended(1)]


def test_of_progress_that_waits_for_long_only_the_last_is_told_to_everybody(rig: Rig) -> None:
    rig.write(1)
    rig.emit(1)
    for step in range(MAX_HELD_PROGRESS):
        rig.emit(1, Progress(1, step / 1000, "x"))
    for step in range(5):
        for client in (1, 2):
            rig.emit(1, Progress(1, step / 10, "x"), client)
    rig.emit(1, ended(1))
    rig.emit(1, Progress(1, 1.0, "late"))
    rig.gate.kept(1)
    assert rig.told == [
        (1, accepted(1)),
        *((1, Progress(1, step / 1000, "x")) for step in range(MAX_HELD_PROGRESS - 2)),
        (1, Progress(1, 0.4, "x")),
        (2, Progress(1, 0.4, "x")),
        (1, ended(1)),
        (1, Progress(1, 1.0, "late")),
    ]


def test_who_is_refused_need_not_wait(rig: Rig) -> None:
    rig.gate.emit(3, Refused("p", "no"))
    assert rig.told == [(3, Refused("p", "no"))]


def test_something_else_can_wait_in_the_same_order(rig: Rig) -> None:
    rig.gate.when_kept(1, rig.say("at once"))
    rig.write(1)
    rig.emit(1)
    rig.gate.when_kept(1, rig.say("behind"))
    rig.emit(1, Progress(1, 0.1, "after it"))
    assert rig.told == [(0, "at once")]
    rig.gate.kept(1)
    assert [what for _, what in rig.told] == ["at once", accepted(1), "behind", Progress(1, 0.1, "after it")]


def test_plugins_wait_while_too_much_waits_for_the_disk(rig: Rig) -> None:
    rig.gate.grant(1)
    rig.ledger.backlog_bytes = MAX_BACKLOG_BYTES + 1
    rig.gate.grant(2)
    rig.gate.grant(3)
    rig.gate.kept(1)
    assert rig.granted == [1]
    rig.ledger.backlog_bytes = MAX_BACKLOG_BYTES
    rig.gate.kept(2)
    assert rig.granted == [1, 2, 3]


def test_what_waits_for_room_keeps_its_order(rig: Rig) -> None:
    rig.ledger.backlog_bytes = MAX_BACKLOG_BYTES + 1
    rig.gate.grant(1)
    rig.gate.when_room(2, rig.granted.append)
    rig.ledger.backlog_bytes = 0  # the ledger's thread was faster than its word
    rig.gate.when_room(3, rig.granted.append)
    assert rig.granted == []
    rig.gate.kept(1)
    assert rig.granted == [1, 2, 3]


def test_a_credit_that_waits_is_not_for_the_next_attempt(rig: Rig) -> None:
    written: list[int] = []
    rig.ledger.backlog_bytes = MAX_BACKLOG_BYTES + 1
    for task in (1, 2):
        rig.gate.grant(task)
        rig.gate.when_room(task, written.append)
    rig.gate.closed(1)
    rig.ledger.backlog_bytes = 0
    rig.gate.kept(1)
    assert (rig.granted, written) == ([2], [1, 2])  # what is on disk is said in any case


def test_tasks_that_are_settled_are_not_remembered_for_ever(rig: Rig) -> None:
    for task in range(3 * MAX_SETTLED):
        rig.write(task)
        rig.gate.kept(task + 1)
    assert len(rig.gate._last) <= MAX_SETTLED + 1


def test_a_ledger_that_keeps_nothing_holds_nothing_up() -> None:
    told: list[Record] = []
    ledger = NoLedger(lambda _: None)
    gate = LedgerGate(ledger, lambda _, record: told.append(record), lambda _: None)
    gate.write(Noted(1, "warning", "x"))
    gate.emit(1, accepted(1))
    assert told == [accepted(1)]
