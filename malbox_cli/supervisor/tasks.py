"""A task as the supervisor keeps it, and the moves that its state can make."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from malbox_cli.control.records import Outcome, Result, TaskWarning

__all__ = ["MOVES", "Task", "TaskState"]


class TaskState(Enum):
    """Where a task stands."""

    READING = "READING"  # its sample is being read for its digest
    QUEUED = "QUEUED"  # it waits for its plugin
    RUNNING = "RUNNING"  # it was sent to its plugin
    STORING = "STORING"  # its plugin has ended it, its results are on their way to disk
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TIMEOUT = "TIMEOUT"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to the task any more."""
        return not MOVES[self]


_S = TaskState
_ENDS = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELED, _S.TIMEOUT})
MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    _S.READING: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELED}),
    _S.RUNNING: frozenset({_S.STORING}),
    _S.STORING: _ENDS,
    **{end: frozenset() for end in _ENDS},
}


@dataclass(slots=True)
class Task:
    """One task.

    Attributes:
        id: Its number.
        client: Who gets its records.
        plugin_id: Its plugin.
        sample: Absolute path of its sample.
        config: The plugin's configuration with the sender's on top.
        timeout: Seconds that it may run; None: as long as it takes.
        created_at: When it was submitted, in seconds of the caller's clock.
        state: Where it stands.
        sent_at: When it was sent to its plugin.
        ending: How it will end once its results are stored or its plugin has answered a cancel; None: not known yet.
        error: Why.
        kill_at: When its plugin is killed because it did not answer the cancel.
        storing: How many results are on their way to disk.
        results: How many results arrived whole.
        held: What is to be announced behind a result that is on its way to disk, in order; None stands for such a one.
        withheld: How many credits of its plugin wait until less is held.
        unfinished: Name, bytes so far and bytes in all of the result that is arriving.
        lost: The results that could not be stored, each with the reason.
        message: What has arrived of a progress, an error or a path that came in pieces.
    """

    id: int
    client: int
    plugin_id: str
    sample: str
    config: Mapping[str, str]
    timeout: float | None
    created_at: float
    state: TaskState = TaskState.READING
    sent_at: float | None = None
    ending: Outcome | None = None
    error: str | None = None
    kill_at: float | None = None
    storing: int = 0
    results: int = 0
    held: deque[Result | TaskWarning | None] = field(default_factory=deque)
    withheld: int = 0
    unfinished: tuple[str, int, int] | None = None
    lost: list[str] = field(default_factory=list)
    message: bytearray = field(default_factory=bytearray)

    def move(self, state: TaskState) -> None:
        """Go to another state.

        Raises:
            ValueError: There is no such move; the caller is wrong.
        """
        if state not in MOVES[self.state]:
            raise ValueError(f"task {self.id} cannot go from {self.state.value} to {state.value}")
        self.state = state

    @property
    def times_out_at(self) -> float | None:
        """When its time is over, while it runs and was not asked to end."""
        if self.timeout is None or self.sent_at is None or self.ending is not None:
            return None
        return self.sent_at + self.timeout
