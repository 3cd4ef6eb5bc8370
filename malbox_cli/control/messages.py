"""What a command asks of a supervisor, and what it answers, as frozen values and as lines of JSON.

A command sends one request a line. The supervisor answers `Submitting` with the records of that task (`records`),
`Watching` with `news` until the connection is closed, and every other request with one answer. One that cannot be done
is answered by `Denied`, and a line that makes no sense by `Misunderstood`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from malbox_cli.control.news import News, PluginNews, SupervisorNews, news_fields
from malbox_cli.control.records import escape_surrogates

__all__ = [
    "MAX_LINE_BYTES",
    "MAX_PRIORITY",
    "Acting",
    "Canceling",
    "Changing",
    "Denied",
    "Following",
    "Misunderstood",
    "PluginStatus",
    "ReloadDone",
    "Reloading",
    "Request",
    "StatusAsked",
    "Stopping",
    "Submitting",
    "SupervisorStatus",
    "Watching",
    "decode_request",
    "decode_status",
    "encode",
]

MAX_LINE_BYTES = 1 << 20
"""A longer line is no request; its sender is cut off."""


MAX_PRIORITY = 1000
"""Priorities go from minus this to this."""


@dataclass(frozen=True, slots=True)
class Submitting:
    """Run a task and stream its records; the task is cancelled when the connection is closed before its end.

    Attributes:
        plugin: The plugin's name in the manifest.
        sample: Absolute path.
        config: What is set on top of the plugin's configuration.
        timeout: Seconds for each attempt; None for what the plugin's settings say.
        priority: The higher, the earlier.
        detach: Whether the task goes on when the connection is closed.
        wait: Whether to wait for room in the plugin's queue where it is full, rather than be refused.
        retry_of: The task that it repeats.
    """

    plugin: str
    sample: str
    config: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    priority: int = 0
    detach: bool = False
    wait: bool = False
    retry_of: int | None = None


@dataclass(frozen=True, slots=True)
class Canceling:
    """End a task; its stream says how it ended. Not answered."""

    task: int


@dataclass(frozen=True, slots=True)
class Following:
    """Stream the records of a task from now on.

    Answered by `Acting`, with the id of the plugin, and then the records; or by `Denied`, where no such task is open.
    """

    task: int


@dataclass(frozen=True, slots=True)
class StatusAsked:
    """Say how the supervisor and its plugins are; answered by `SupervisorStatus`."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """Stop; the connection is closed when nothing is left."""


@dataclass(frozen=True, slots=True)
class Changing:
    """Start, stop or restart the plugins that any of these ids or patterns fits; answered by `Acting` or `Denied`."""

    what: Literal["start", "stop", "restart"]
    plugins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watching:
    """Say how everything is, and then what changes."""


@dataclass(frozen=True, slots=True)
class Reloading:
    """Read the manifest again, and start, stop and restart what changed; answered by `ReloadDone` or `Denied`."""


Request = Submitting | Canceling | Following | StatusAsked | Stopping | Changing | Watching | Reloading
_REQUESTS = {
    "submit": Submitting,
    "cancel": Canceling,
    "follow": Following,
    "status": StatusAsked,
    "stop": Stopping,
    "change": Changing,
    "watch": Watching,
    "reload": Reloading,
}
_WORDS = {kind: word for word, kind in _REQUESTS.items()}


@dataclass(frozen=True, slots=True)
class Acting:
    """What was asked for is being done to these plugins; how it goes is news."""

    plugins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReloadDone:
    """What a manifest that was read again changes; how it goes is news."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """What was asked for cannot be done."""

    error: str


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """The line was no request."""

    error: str


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin, as `status --json` shows it; times are seconds since the epoch, durations seconds, sizes bytes.

    `iceoryx2` is the release that its process said it loaded; `rss` and `cpu` (a percentage of one core) are added by
    the command, which asks the kernel.
    """

    id: str
    name: str
    version: str
    state: str
    reason: str
    pid: int | None
    uptime: float | None
    restarts: int
    last_exit: Mapping[str, int | None] | None
    ready_at: float | None
    tasks: Mapping[str, int]
    iceoryx2: str | None = None
    rss: int | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class SupervisorStatus:
    """The supervisor and its plugins; as for `PluginStatus`."""

    pid: int
    uptime: float
    domain: str
    manifest: str
    plugins: tuple[PluginStatus, ...]

    def as_json_object(self) -> dict[str, object]:
        """Return what `status --json` prints."""
        supervisor = {"pid": self.pid, "uptime": self.uptime, "domain": self.domain, "manifest": self.manifest}
        return {"supervisor": supervisor, "plugins": [asdict(plugin) for plugin in self.plugins]}


Answer = Misunderstood | Denied | Acting | ReloadDone | SupervisorStatus | News


def encode(message: Request | Answer) -> str:
    """Return a message as one line of JSON, without the newline."""
    match message:
        case SupervisorStatus():
            fields = {"type": "status", **message.as_json_object()}
        case Misunderstood():
            fields = {"type": "misunderstood", "error": message.error}
        case Denied():
            fields = {"type": "denied", "error": message.error}
        case Acting():
            fields = {"type": "acting", "plugins": message.plugins}
        case ReloadDone():
            fields = {"type": "reloaded", **asdict(message)}
        case SupervisorNews() | PluginNews():
            fields = news_fields(message)
        case _:
            fields = {"type": _WORDS[type(message)], **asdict(message)}
    return escape_surrogates(json.dumps(fields, ensure_ascii=False))


def decode_request(line: bytes) -> Request:
    """Return the request of a line.

    Raises:
        ValueError: It is none.
    """
    try:
        fields = json.loads(line)
    except RecursionError as error:
        raise ValueError("a request is not nested") from error
    word = fields.pop("type", None) if isinstance(fields, dict) else None
    if not isinstance(word, str) or word not in _REQUESTS:
        raise ValueError(f"a request is an object whose type is one of {', '.join(_REQUESTS)}")
    try:
        if word == "change":
            fields["plugins"] = tuple(fields["plugins"])
        request: Request = _REQUESTS[word](**fields)
    except (TypeError, KeyError) as error:
        raise ValueError(str(error)) from error
    _check(request, fields)
    return request


def _check(request: Request, fields: Mapping[str, Any]) -> None:
    # What came over the socket need not be of the types that the class says.
    match request:
        case Submitting():
            config, timeout = fields.get("config", {}), fields.get("timeout")
            good = (
                isinstance(fields["plugin"], str)
                and _is_path(fields["sample"])
                and isinstance(config, dict)
                and all(isinstance(value, str) for value in config.values())
                and (timeout is None or _is_duration(timeout))
                and _is_priority(fields.get("priority", 0))
                and all(isinstance(fields.get(key, False), bool) for key in ("detach", "wait"))
                and (fields.get("retry_of") is None or type(fields["retry_of"]) is int)
            )
        case Canceling() | Following():
            good = type(fields["task"]) is int
        case Changing():
            good = fields["what"] in ("start", "stop", "restart") and all(isinstance(p, str) for p in fields["plugins"])
        case _:
            good = True
    if not good:
        raise ValueError(f"a {_WORDS[type(request)]} request with a field that is not what it should be")


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _is_priority(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_PRIORITY


def _is_duration(value: object) -> bool:
    if isinstance(value, float):
        return value > 0  # NaN is not
    # An integer that is no float could not be added to the time.
    return type(value) is int and 0 < value <= sys.float_info.max


def decode_status(fields: Mapping[str, Any]) -> SupervisorStatus:
    """Return the status of an object that `encode` made.

    Raises:
        ValueError: It is no such object; the supervisor is of another version.
    """
    try:
        supervisor, plugins = fields["supervisor"], fields["plugins"]
        return SupervisorStatus(**supervisor, plugins=tuple(PluginStatus(**plugin) for plugin in plugins))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a status: {error}") from error
