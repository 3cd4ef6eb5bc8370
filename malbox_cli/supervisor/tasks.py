"""A task as the supervisor keeps it while it is open."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from malbox_cli.control.records import Outcome, Result, TaskWarning
from malbox_cli.store.task_states import MOVES, TaskState

__all__ = ["Announcement", "Attempt", "Task"]

Announcement = tuple[Result | TaskWarning, bytes | None]
"""What is to be announced, and the bytes of a result that is kept inside of the ledger."""


@dataclass(slots=True)
class Attempt:
    """One attempt at a task, from when it was sent until what it pushed is on disk.

    Attributes:
        is_answered: Whether the process is done with it: its results may be on their way to disk still.
        ending: How the task is to end once its results are stored or its plugin has answered a cancel; None: not known.
        error: Why.
        is_lost: Whether its process ended under it.
        interruption: Why it was asked to end although its task goes on later; empty: it was not.
        kill_at: When its process is killed because it did not answer the cancel.
        is_stuck: Whether its process was killed for that.
        storing: How many results are on their way to disk.
        results: How many results arrived whole.
        numbered: How many results were given a number.
        held: What is to be announced behind a result that is on its way to disk, in order; a number stands for such a
            one.
        withheld: How many credits of its plugin wait until less is held.
        unfinished: Name, bytes so far and bytes in all of the result that is arriving.
        lost: The results that could not be stored, each with the reason.
        message: What has arrived of a progress, an error or a path that came in pieces.
    """

    is_answered: bool = False
    ending: Outcome | None = None
    error: str | None = None
    is_lost: bool = False
    interruption: str = ""
    kill_at: float | None = None
    is_stuck: bool = False
    storing: int = 0
    results: int = 0
    numbered: int = 0
    held: deque[int | Announcement] = field(default_factory=deque)
    withheld: int = 0
    unfinished: tuple[str, int, int] | None = None
    lost: list[str] = field(default_factory=list)
    message: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Task:
    """One task.

    Attributes:
        id: Its number.
        client: Who sent it, and gets its records.
        plugin: The plugin's name in the manifest.
        version: The plugin's version.
        sample: Absolute path of its sample.
        config: The plugin's configuration with the sender's on top.
        timeout: Seconds that an attempt may take; None: as long as it takes.
        created_at: When it was submitted, in seconds of the caller's clock.
        priority: The higher, the earlier.
        is_detached: Whether it goes on when its client goes away.
        retry_of: The task that it repeats.
        listeners: The clients that get its records.
        state: Where it stands.
        sha256: Digest of its sample; None: it has not been read yet.
        size: Bytes of its sample.
        fingerprint: What tells whether the file that its plugin gets is still the same; empty: nothing does.
        copy: The file that its plugin gets instead of the sample.
        checked_at: When that file was last known to be the same.
        is_being_checked: Whether it is being looked at.
        order: Who came later to a queue has a higher number.
        is_kept: Whether it is in the ledger.
        attempts: How many attempts have begun.
        losses: How many of them were lost.
        failures: How many of them failed.
        attempt: The one that goes on; None: none does.
        worker: The id of the process that it was sent to last.
        sent_at: When that was, in seconds of the caller's clock; None: it was not yet.
        rests_until: When it is tried again.
        result_count: How many results its last attempt had.
    """

    id: int
    client: int
    plugin: str
    version: str
    sample: str
    config: Mapping[str, str]
    timeout: float | None
    created_at: float
    priority: int = 0
    is_detached: bool = False
    retry_of: int | None = None
    listeners: list[int] = field(default_factory=list)
    state: TaskState = TaskState.QUEUED
    sha256: str | None = None
    size: int | None = None
    fingerprint: str = ""
    copy: str | None = None
    checked_at: float = 0.0
    is_being_checked: bool = False
    order: int = 0
    is_kept: bool = False
    attempts: int = 0
    losses: int = 0
    failures: int = 0
    attempt: Attempt | None = None
    worker: str = ""
    sent_at: float | None = None
    rests_until: float | None = None
    result_count: int = 0

    def move(self, state: TaskState) -> None:
        """Go to another state.

        Raises:
            ValueError: There is no such move; the caller is wrong.
        """
        if state not in MOVES[self.state]:
            raise ValueError(f"task {self.id} cannot go from {self.state.value} to {state.value}")
        self.state = state

    @property
    def path(self) -> str:
        """The file that its plugin gets."""
        return self.copy or self.sample

    @property
    def is_unread(self) -> bool:
        """Whether its sample is still to be read."""
        return self.sha256 is None

    @property
    def is_suspect(self) -> bool:
        """Whether its plugin ended under it before: nothing else runs in the process that tries it again."""
        return self.losses > 0

    @property
    def times_out_at(self) -> float | None:
        """When its time is over, while an attempt runs that was not asked to end."""
        attempt = self.attempt
        if self.timeout is None or self.sent_at is None or attempt is None or attempt.is_answered:
            return None
        return None if attempt.ending is not None else self.sent_at + self.timeout
