"""The states of a task, as a table; what is not in it is refused."""

from collections.abc import Mapping
from enum import Enum

__all__ = ["MOVES", "TaskState"]


class TaskState(Enum):
    """Where a task stands; as the ledger, the commands and the supervisor have it."""

    QUEUED = "QUEUED"  # it waits for its plugin, or to be tried again
    RUNNING = "RUNNING"  # an attempt was sent to its plugin, or its results are on their way to disk
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
    _S.QUEUED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELED}),
    _S.RUNNING: _ENDS | {_S.QUEUED},  # back where its attempt was lost and it is tried again
    **{end: frozenset() for end in _ENDS},
}
