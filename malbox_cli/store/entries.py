"""What the ledger is told: one value for each change of a task, in the order in which they happened.

The supervisor's decisions make them; `store/ledger` writes them. Times are not in them: the ledger takes the time when
it is told. They are tuples because several are made for every task, and those are made fastest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from malbox_cli.store.task_states import TaskState

__all__ = [
    "AttemptBegan",
    "AttemptEnded",
    "AttemptOutcome",
    "Entry",
    "Noted",
    "OpenTask",
    "Requeued",
    "ResultKept",
    "TaskAdded",
    "TaskEnded",
]

AttemptOutcome = Literal["completed", "failed", "canceled", "timeout", "lost", "interrupted"]
"""How an attempt ended: ``lost`` where its plugin's process ended under it, which counts against its retries,
``interrupted`` where that was not the task's doing (the supervisor was stopped, another task's process was killed)."""


class TaskAdded(NamedTuple):
    """A task was taken. It is QUEUED.

    Attributes:
        task: Its number.
        plugin: The plugin's name in the manifest.
        version: The plugin's version, as far as it is known.
        sample: Absolute path of the sample, as it was given.
        sha256: Digest of the sample in hexadecimal; None where it could not be read.
        size: Bytes of the sample; None as above.
        fingerprint: What tells whether the file at that path is still the same; None as above.
        copy: Absolute path of the copy that the plugin gets instead; None: it gets the sample's own.
        config: The plugin's configuration with the sender's on top.
        timeout: Seconds that an attempt may take; None: as long as it takes.
        priority: The higher, the earlier.
        is_detached: Whether it goes on when nobody waits for it.
        retry_of: The task that it repeats.
    """

    task: int
    plugin: str
    version: str
    sample: str
    sha256: str | None
    size: int | None
    fingerprint: str | None
    copy: str | None
    config: Mapping[str, str]
    timeout: float | None
    priority: int
    is_detached: bool
    retry_of: int | None


class AttemptBegan(NamedTuple):
    """A task was sent to a process. It is RUNNING. Attempts of a task count from 1; `worker` is the process's id."""

    task: int
    attempt: int
    worker: str


class AttemptEnded(NamedTuple):
    """An attempt ended."""

    task: int
    attempt: int
    outcome: AttemptOutcome
    error: str | None


class Requeued(NamedTuple):
    """A task whose attempt was lost, interrupted or failed is tried again: it is QUEUED, and its results are void."""

    task: int


class ResultKept(NamedTuple):
    """A result arrived whole. Either `data` has its bytes or `path` the file that has them; both for a small file.

    `number` counts a task's results of one attempt from 1.
    """

    task: int
    attempt: int
    number: int
    name: str
    format: Literal["json", "bytes", "file"]
    size: int
    sha256: str
    data: bytes | None
    path: str | None


class Noted(NamedTuple):
    """Something that whoever looks at the task later should know."""

    task: int
    kind: Literal["warning", "cancel", "retry"]
    text: str


class TaskEnded(NamedTuple):
    """A task reached a final state. `seconds`: from when it was last sent, or taken; `partial`: as in the record."""

    task: int
    state: TaskState
    error: str | None
    seconds: float
    partial: bool


Entry = TaskAdded | AttemptBegan | AttemptEnded | Requeued | ResultKept | Noted | TaskEnded


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that had not ended when its supervisor did.

    Attributes:
        added: What was written when it was taken.
        was_running: Whether an attempt had begun and not ended: that one is lost.
        attempts: How many attempts have begun.
        lost: How many of those that ended were lost.
        failed: How many of them failed by an error of the plugin.
        age: Seconds since it was taken.
        canceled: Why it was asked to end while that attempt went on; None: it was not.
    """

    added: TaskAdded
    was_running: bool
    attempts: int
    lost: int
    failed: int
    age: float
    canceled: str | None = None
