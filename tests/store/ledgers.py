"""A ledger with what it has answered, and entries for it."""

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from malbox_cli.store.entries import AttemptBegan, AttemptEnded, AttemptOutcome, ResultKept, TaskAdded, TaskEnded
from malbox_cli.store.ledger import Answer, Committed, Ledger
from malbox_cli.store.ledger_sessions import Kind
from malbox_cli.store.task_states import TaskState

A = TypeVar("A", bound=Answer)


class Writing:
    """An open ledger and what it has answered."""

    def __init__(self, state_dir: Path, kind: Kind = "up", ids: int = 10) -> None:
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.ledger = Ledger.open(state_dir, kind, self.answers.put, ids=ids)
        self.write = self.ledger.write

    def next(self, kind: type[A]) -> A:
        """Return the next answer of a kind, and skip all before it."""
        while not isinstance(answer := self.answers.get(timeout=30), kind):
            pass
        return answer

    def until(self, number: int) -> None:
        """Wait until an entry is committed."""
        while self.next(Committed).number < number:
            pass


def added(task: int, plugin: str = "p", **values: object) -> TaskAdded:
    """Return what is written when a task is taken."""
    fields: dict[str, object] = {"version": "1.0.0", "sample": f"/s/{task}", "sha256": f"{task:064x}", "size": 3}
    fields |= {"fingerprint": "3:1:1:1", "copy": None, "config": {}, "timeout": None, "priority": 0}
    fields |= {"is_detached": False, "retry_of": None, **values}
    return TaskAdded(task, plugin, **fields)  # type: ignore[arg-type]


def began(task: int, attempt: int = 1) -> AttemptBegan:
    """Return what is written when a task is sent."""
    return AttemptBegan(task, attempt, "p-1")


def finished(task: int, outcome: AttemptOutcome = "completed", attempt: int = 1) -> AttemptEnded:
    """Return what is written when an attempt ends."""
    return AttemptEnded(task, attempt, outcome, None)


def ended(task: int, state: TaskState = TaskState.COMPLETED, error: str | None = None) -> TaskEnded:
    """Return what is written when a task ends."""
    return TaskEnded(task, state, error, 1.5, False)


def kept(task: int, number: int = 1, data: bytes | None = b"{}", path: str | None = None, **values: str) -> ResultKept:
    """Return what is written when a result has arrived."""
    size = 2 if data is None else len(data)
    return ResultKept(task, 1, number, "r", "json", size, values.get("sha256", "ab" * 32), data, path)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.001)
