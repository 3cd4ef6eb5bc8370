"""What the ledger would hold, and whether what it is told makes sense."""

from dataclasses import dataclass, field

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
from malbox_cli.store.task_states import MOVES, TaskState


@dataclass
class Kept:
    """A task as the ledger has it."""

    added: TaskAdded
    state: TaskState = TaskState.QUEUED
    attempts: list[str] = field(default_factory=list)
    results: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_being_tried(self) -> bool:
        return bool(self.attempts) and self.attempts[-1] == ""

    def move(self, state: TaskState) -> None:
        assert state in MOVES[self.state], f"{self} goes to {state}"
        self.state = state


class LedgerModel:
    """Takes entries in order."""

    def __init__(self) -> None:
        self.tasks: dict[int, Kept] = {}

    def take(self, entry: Entry) -> None:
        if isinstance(entry, TaskAdded):
            assert entry.task not in self.tasks
            self.tasks[entry.task] = Kept(entry)
            return
        task = self.tasks[entry.task]
        match entry:
            case AttemptBegan():
                task.move(TaskState.RUNNING)
                task.attempts.append("")
                assert entry.attempt == len(task.attempts)
            case AttemptEnded():
                assert task.is_being_tried
                assert entry.attempt == len(task.attempts)
                task.attempts[-1] = entry.outcome
            case Requeued():
                assert task.attempts[-1] in ("lost", "interrupted", "failed")
                task.move(TaskState.QUEUED)
                task.results.clear()
            case ResultKept():
                assert task.is_being_tried
                assert entry.attempt == len(task.attempts)
                assert (entry.attempt, entry.number) not in task.results
                assert (entry.data is None) != (entry.path is None) or (entry.data and entry.path)
                task.results.append((entry.attempt, entry.number))
            case TaskEnded():
                assert not task.is_being_tried
                task.move(entry.state)
                if entry.state is TaskState.COMPLETED:
                    assert task.attempts[-1] == "completed"
                assert entry.partial == (entry.state is not TaskState.COMPLETED and bool(task.results))
            case Noted():
                assert not task.state.is_final
