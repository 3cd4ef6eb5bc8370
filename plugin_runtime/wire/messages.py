"""What travels between supervisor and plugin, as frozen values without bytes, ports or clocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

__all__ = [
    "MAX_I32",
    "Buffer",
    "Cancel",
    "DataFormat",
    "EventKind",
    "EventMessage",
    "Execute",
    "HealthAnswer",
    "HealthLevel",
    "HealthQuestion",
    "Hello",
    "Piece",
    "ProgressUpdate",
    "Request",
    "ResponseKind",
    "ResultPayloadKind",
    "TaskRequest",
]

MAX_I32 = 2**31 - 1

HealthLevel = Literal["healthy", "degraded", "unhealthy"]
"""How well a plugin can do its work."""

Buffer = bytes | bytearray | memoryview
"""Bytes to read. A `memoryview` is of format ``B`` and one dimension; it may be valid only until the next receive."""


class ResponseKind(IntEnum):
    """What a response of a task carries."""

    RESULT = 0
    PROGRESS = 1
    READY = 2
    FILE_REF = 3
    ERROR = 4


class DataFormat(IntEnum):
    """How the data of a result is encoded."""

    BYTES = 0
    JSON = 1
    POSTCARD = 2


class ResultPayloadKind(IntEnum):
    """What a sample on a result channel carries."""

    INLINE = 0
    FILE_REF = 1
    STRUCTURED = 2


class EventKind(IntEnum):
    """The type of an event."""

    TASK_CREATED = 0
    TASK_STARTING = 1
    TASK_COMPLETED = 2
    TASK_FAILED = 3
    TASK_CANCELED = 4
    PLUGIN_STARTED = 10
    PLUGIN_STOPPED = 11
    PLUGIN_RESULT_AVAILABLE = 12
    SAMPLE_STARTED = 20
    SAMPLE_STOPPED = 21
    SAMPLE_RESULT_PRODUCED = 22
    DAEMON_SHUTDOWN = 30
    CONFIG_RELOADED = 31


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The payload of a request to execute: the sample's path and the task's configuration, in order."""

    sample_path: str
    config: tuple[tuple[str, str], ...] = ()

    def config_dict(self) -> dict[str, str]:
        """Return the configuration by key; of two pairs with one key the last counts."""
        return dict(self.config)


@dataclass(frozen=True, slots=True)
class Execute:
    """Supervisor to plugin: run this task."""

    task_id: int
    request: TaskRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Supervisor to plugin: end this task. Sent only to a plugin that said it knows the cancel extension."""

    task_id: int


@dataclass(frozen=True, slots=True)
class HealthQuestion:
    """Supervisor to plugin: say how you are. Sent only to a plugin that said it knows the health extension."""


Request = Execute | Cancel | HealthQuestion


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """Plugin to supervisor: how the plugin is, and why in words; nothing has to be said of a healthy one."""

    level: HealthLevel
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Plugin to supervisor: one frame of a task's response, checked against the frames before it.

    Attributes:
        task_id: The task it belongs to.
        kind: What the response is.
        format: How its data is encoded.
        name: The result's name; the same in every piece of one result, empty for progress, errors and the end.
        total_size: Bytes of data (without the name) that the whole result has, known from its first piece on.
        offset: Where in the data of the whole result this piece stands.
        data: This piece of the data. It may point into shared memory: copy it before the frame is released.
        is_first: Whether a result begins here.
        is_last: Whether the result ends here.
        is_final: Whether the task ends here: nothing follows.
    """

    task_id: int
    kind: ResponseKind
    format: DataFormat
    name: str
    total_size: int
    offset: int
    data: Buffer
    is_first: bool
    is_last: bool
    is_final: bool


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """The data of a response of kind PROGRESS: a fraction from 0.0 to 1.0 and a line for a person.

    `warning` is an extension: not empty, it says that this is not progress but a warning to whoever sent the task.
    """

    progress: float
    message: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class EventMessage:
    """An event on the daemon's or a plugin's event channel, without its header's reserved bytes."""

    kind: EventKind
    source_plugin_id: int = 0
    associated_id: int = 0
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a plugin says of itself in PluginStarted's payload; a plugin of the reference says nothing (`None` there).

    Attributes:
        protocol: The version of the extensions it speaks.
        runtime: Name and version of the runtime, such as ``malbox-python 0.1.0``.
        iceoryx2: The release of iceoryx2 it loaded.
        plugin: The plugin's name.
        version: The plugin's version.
        instance: The nonce that the supervisor gave the process, empty if it gave none.
        extensions: The names of the extensions it knows.
    """

    protocol: int
    runtime: str
    iceoryx2: str
    plugin: str
    version: str
    instance: str
    extensions: frozenset[str] = field(default_factory=frozenset)

    def as_json_object(self) -> Mapping[str, object]:
        """Return the object that goes over the wire, its extensions sorted."""
        return {
            "protocol": self.protocol,
            "runtime": self.runtime,
            "iceoryx2": self.iceoryx2,
            "plugin": self.plugin,
            "version": self.version,
            "instance": self.instance,
            "extensions": sorted(self.extensions),
        }
