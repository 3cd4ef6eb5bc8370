"""What the ledger tells those who look into it: a task, its attempts, its results and what was noted of it.

Times are seconds since the epoch, sizes bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from malbox_cli.store.entries import AttemptOutcome
from malbox_cli.store.task_states import TaskState

__all__ = ["AttemptRow", "NoteRow", "ResultRow", "TaskFilter", "TaskRow"]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task; what is as in `entries.TaskAdded` and `entries.TaskEnded` means the same.

    Attributes:
        added_at: When it was taken.
        started_at: When its last attempt began; None: none has.
        ended_at: When it ended; None: it has not.
        attempts: How many attempts have begun.
        results: How many results there are.
    """

    task: int
    plugin: str
    version: str
    sample: str
    sha256: str | None
    size: int | None
    config: Mapping[str, str]
    timeout: float | None
    priority: int
    is_detached: bool
    retry_of: int | None
    state: TaskState
    error: str | None
    seconds: float | None
    partial: bool
    added_at: float
    started_at: float | None
    ended_at: float | None
    attempts: int
    results: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt; `outcome` and `ended_at` are None while it goes on."""

    attempt: int
    worker: str
    began_at: float
    ended_at: float | None
    outcome: AttemptOutcome | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result. `data` is None where it is only in the file; its reader finds it by `path`."""

    attempt: int
    number: int
    name: str
    format: Literal["json", "bytes", "file"]
    size: int
    sha256: str
    data: bytes | None
    path: str | None
    at: float


@dataclass(frozen=True, slots=True)
class NoteRow:
    """Something that was noted."""

    at: float
    kind: Literal["warning", "cancel", "retry"]
    text: str


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks; what is None or empty lets all through.

    Attributes:
        states: In one of these.
        plugins: Of one of these, by the names in the manifest.
        sample: Its path as it was given, or the beginning of its sha256, of 6 digits or more.
        since: Taken at this time or later.
        limit: No more than the newest so many.
        before: With a number below this one: where a list goes on.
    """

    states: frozenset[TaskState] = frozenset()
    plugins: frozenset[str] = frozenset()
    sample: str | None = None
    since: float | None = None
    limit: int | None = None
    before: int | None = None
