"""Everything that the supervisor's decisions can ask for."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from malbox_cli.control.records import Record
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.store.entries import Entry
from plugin_runtime.wire.messages import Buffer, DataFormat, TaskRequest

__all__ = [
    "Abandon",
    "AbandonResults",
    "Action",
    "Adopt",
    "AskHealth",
    "AskStop",
    "Changed",
    "CheckSamples",
    "CleanUp",
    "CloseTask",
    "Emit",
    "Forget",
    "Grant",
    "ReadSample",
    "ReserveIds",
    "Say",
    "SendCancel",
    "SendConfigReloaded",
    "SendShutdown",
    "SendTask",
    "Signal",
    "Spawn",
    "StoreFile",
    "StorePiece",
    "Write",
]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make the services of a plugin that was not there before; where they cannot be made it cannot be started."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Let go of the services of a plugin that has no process and gets none."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a plugin's process; answered by Spawned or SpawnFailed."""

    plugin_id: str
    spec: PluginSpec


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
class Abandon:
    """Wait no more for the end of a process that even SIGKILL does not end."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class SendShutdown:
    """Tell every plugin to stop, over the supervisor's event channel."""


@dataclass(frozen=True, slots=True)
class SendConfigReloaded:
    """Tell every plugin that the manifest was read again, over the supervisor's event channel."""


@dataclass(frozen=True, slots=True)
class AskStop:
    """Tell one plugin to stop; only one that knows the stop extension hears it."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class AskHealth:
    """Ask a plugin that knows the health extension how it is, unless it still has to answer; answered by HealthSaid.

    A plugin that is busy answers when its task is over; one that cannot be asked does not answer.
    """

    plugin_id: str


@dataclass(frozen=True, slots=True)
class ReadSample:
    """Read a task's sample for its digest, elsewhere; answered by SampleRead or SampleUnreadable."""

    task_id: int
    path: str


@dataclass(frozen=True, slots=True)
class CheckSamples:
    """Look, elsewhere, whether samples are still as they were read; answered by SamplesChecked.

    Attributes:
        samples: For each task its number, the path that its plugin is to get, and that file's fingerprint.
    """

    samples: tuple[tuple[int, str, str], ...]


class Write(NamedTuple):
    """Put an entry in the ledger; what is announced of its task after it waits until it is on disk."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ReserveIds:
    """Get numbers for further tasks, elsewhere; answered by IdsReserved."""

    count: int


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
class Changed:
    """A plugin stands elsewhere than before, or for another reason."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the operator; `plugin_id` where it is about a plugin."""

    level: Literal["info", "warning", "error"]
    text: str
    plugin_id: str | None = None


Action = (
    Adopt
    | Forget
    | Spawn
    | Signal
    | CleanUp
    | Abandon
    | SendShutdown
    | SendConfigReloaded
    | AskStop
    | AskHealth
    | Changed
    | ReadSample
    | CheckSamples
    | Write
    | ReserveIds
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
