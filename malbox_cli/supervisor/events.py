"""Everything that can happen to the supervisor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.store.entries import OpenTask
from malbox_cli.supervisor.exit_status import ExitStatus
from plugin_runtime.wire.messages import HealthLevel, Hello, Piece

__all__ = [
    "Beat",
    "CancelAsked",
    "ClientLeft",
    "Event",
    "FollowAsked",
    "HealthSaid",
    "IdsReserved",
    "KillAsked",
    "LedgerStuck",
    "LedgerWell",
    "PluginStarted",
    "PluginStopped",
    "PluginsAsked",
    "ProcessExited",
    "Reloaded",
    "ResponsesBroken",
    "ResultNotStored",
    "ResultStored",
    "SampleRead",
    "SampleUnreadable",
    "SamplesChecked",
    "SendFailed",
    "SpawnFailed",
    "Spawned",
    "StartAsked",
    "StopAsked",
    "Submit",
    "TaskSaid",
    "TasksRecovered",
    "Tick",
]


@dataclass(frozen=True, slots=True)
class StartAsked:
    """Start every plugin that was not started yet."""


@dataclass(frozen=True, slots=True)
class PluginsAsked:
    """Somebody wants plugins, which exist, to be started, stopped or restarted."""

    what: Literal["start", "stop", "restart"]
    plugin_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The manifest was read again: these are the plugins to run from now on."""

    plugins: tuple[PluginSpec, ...]
    stop_timeout: float


@dataclass(frozen=True, slots=True)
class Spawned:
    """A plugin's process was started; `instance` is the nonce that it was given."""

    plugin_id: str
    pid: int
    instance: str


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """A plugin's process could not be started.

    `is_transient` says that another try may go well; otherwise it would end the same way.
    """

    plugin_id: str
    error: str
    is_transient: bool = False


@dataclass(frozen=True, slots=True)
class PluginStarted:
    """PluginStarted came on a plugin's event channel.

    Attributes:
        plugin_id: The channel's plugin.
        pid: The process that sent it.
        is_ours: Whether that process belongs to the session that was spawned for the plugin.
        hello: What it said of itself; None from a plugin of the reference.
    """

    plugin_id: str
    pid: int
    is_ours: bool
    hello: Hello | None


@dataclass(frozen=True, slots=True)
class PluginStopped:
    """PluginStopped came on a plugin's event channel."""

    plugin_id: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class HealthSaid:
    """A plugin answered the question after its health, or answered it with something that is no answer."""

    plugin_id: str
    level: HealthLevel
    reason: str


@dataclass(frozen=True, slots=True)
class Beat:
    """A plugin's loop has shown that it turns."""

    plugin_id: str


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A plugin's process ended and was reaped; everything that it had sent was handled before.

    `last_lines` is what it printed last, for whoever has to find out why; `memory_note` what the kernel says of why it
    was killed, such as for want of memory; empty: nothing.
    """

    plugin_id: str
    pid: int
    status: ExitStatus
    last_lines: tuple[str, ...] = ()
    memory_note: str = ""


@dataclass(frozen=True, slots=True)
class Submit:
    """Somebody wants a task done.

    Attributes:
        client: Who gets the task's records.
        plugin_id: The plugin.
        sample: Absolute path of the sample.
        config: What is set on top of the plugin's configuration.
        timeout: Seconds that an attempt may take; None for what the plugin's settings say.
        priority: The higher, the earlier.
        is_detached: Whether it goes on when the client goes away.
        waits: Whether it waits for room where the queue is full.
        retry_of: The task that it repeats.
    """

    client: int
    plugin_id: str
    sample: str
    config: Mapping[str, str]
    timeout: float | None = None
    priority: int = 0
    is_detached: bool = False
    waits: bool = False
    retry_of: int | None = None


@dataclass(frozen=True, slots=True)
class SampleRead:
    """A task's sample was read to its end once.

    Attributes:
        task_id: The task.
        sha256: The digest, in hexadecimal.
        size: Bytes.
        fingerprint: What tells whether the file that the plugin gets is still the same.
        copy: Absolute path of a copy that the plugin is to get instead; None: there is none.
    """

    task_id: int
    sha256: str
    size: int = 0
    fingerprint: str = ""
    copy: str | None = None


@dataclass(frozen=True, slots=True)
class SamplesChecked:
    """Samples were looked at again; `changed` has those that are not what was read, each with what is wrong."""

    unchanged: tuple[int, ...]
    changed: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class TasksRecovered:
    """Tasks that a supervisor before this one had taken, and that had not ended when it did."""

    tasks: tuple[OpenTask, ...]


@dataclass(frozen=True, slots=True)
class IdsReserved:
    """Nobody else gives tasks the numbers from `first` on, `count` of them."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class LedgerStuck:
    """The ledger cannot be written to just now; what it was told is kept, and tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class LedgerWell:
    """The ledger can be written to again."""


@dataclass(frozen=True, slots=True)
class FollowAsked:
    """A client wants the records of an open task from now on."""

    client: int
    task_id: int


@dataclass(frozen=True, slots=True)
class SampleUnreadable:
    """A task's sample cannot be read."""

    task_id: int
    error: str


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A task could not be sent to its plugin."""

    task_id: int
    error: str


@dataclass(frozen=True, slots=True)
class TaskSaid:
    """A frame of a task's responses."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class ResponsesBroken:
    """A task's responses are not what the protocol allows."""

    task_id: int
    error: str


@dataclass(frozen=True, slots=True)
class ResultStored:
    """A result is on disk, whole; `data` has its bytes too where they are few."""

    task_id: int
    name: str
    format: Literal["json", "bytes", "file"]
    path: str
    size: int
    sha256: str
    json_is_valid: bool = True
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class ResultNotStored:
    """A result could not be put on disk."""

    task_id: int
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody wants a task to end."""

    task_id: int


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """A client went away; its tasks end."""

    client: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Stop every plugin and then the supervisor, in order and in bounded time."""

    reason: str


@dataclass(frozen=True, slots=True)
class KillAsked:
    """Stop everything at once."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; at least one deadline may have."""


Event = (
    StartAsked
    | PluginsAsked
    | Reloaded
    | Spawned
    | SpawnFailed
    | PluginStarted
    | PluginStopped
    | HealthSaid
    | Beat
    | ProcessExited
    | Submit
    | SampleRead
    | SampleUnreadable
    | SamplesChecked
    | TasksRecovered
    | IdsReserved
    | LedgerStuck
    | LedgerWell
    | FollowAsked
    | SendFailed
    | TaskSaid
    | ResponsesBroken
    | ResultStored
    | ResultNotStored
    | CancelAsked
    | ClientLeft
    | StopAsked
    | KillAsked
    | Tick
)
