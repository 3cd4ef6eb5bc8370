"""Everything that the supervisor's decisions can ask for."""

from dataclasses import dataclass
from typing import Literal

from malbox_cli.control.records import Record
from plugin_runtime.wire.messages import Buffer, DataFormat, TaskRequest

__all__ = [
    "AbandonResults",
    "Action",
    "CleanUp",
    "CloseTask",
    "Emit",
    "Grant",
    "ReadSample",
    "Say",
    "SendCancel",
    "SendShutdown",
    "SendTask",
    "Signal",
    "Spawn",
    "StoreFile",
    "StorePiece",
]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a plugin's process; answered by Spawned or SpawnFailed."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to every process of a plugin's group."""

    plugin_id: str
    number: int


@dataclass(frozen=True, slots=True)
class CleanUp:
    """End what is left of an ended process: the rest of its group, and its node in shared memory."""

    plugin_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class SendShutdown:
    """Tell every plugin to stop, over the supervisor's event channel."""


@dataclass(frozen=True, slots=True)
class ReadSample:
    """Read a task's sample for its digest, elsewhere; answered by SampleRead or SampleUnreadable."""

    task_id: int
    path: str


@dataclass(frozen=True, slots=True)
class SendTask:
    """Send a task to its plugin; answered by TaskSaid, ResponsesBroken or SendFailed."""

    task_id: int
    plugin_id: str
    request: TaskRequest


@dataclass(frozen=True, slots=True)
class SendCancel:
    """Ask the plugin to end a task."""

    task_id: int
    plugin_id: str


@dataclass(frozen=True, slots=True)
class CloseTask:
    """Let go of a task's responses: none is awaited any more."""

    task_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The frame that was just handled is dealt with: its plugin may send another."""

    task_id: int


@dataclass(frozen=True, slots=True)
class StorePiece:
    """Put a part of a result on disk, elsewhere, and then grant; the last part is answered by ResultStored or not.

    The data may point into shared memory: it is copied before the frame is released.
    """

    task_id: int
    name: str
    format: DataFormat
    data: Buffer
    is_first: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class StoreFile:
    """Open a plugin's file now, copy it elsewhere, and then grant; answered by ResultStored or ResultNotStored."""

    task_id: int
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class AbandonResults:
    """Throw away what is on disk of a task's unfinished result, if there is one."""

    task_id: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a record to whoever sent the task."""

    client: int
    record: Record


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the operator; `plugin_id` where it is about a plugin."""

    level: Literal["info", "warning", "error"]
    text: str
    plugin_id: str | None = None


Action = (
    Spawn
    | Signal
    | CleanUp
    | SendShutdown
    | ReadSample
    | SendTask
    | SendCancel
    | CloseTask
    | Grant
    | StorePiece
    | StoreFile
    | AbandonResults
    | Emit
    | Say
)
