"""What `malbox events` prints: how the supervisor and each plugin stand, as frozen values and as JSON objects.

A stream begins with what is so, one value for the supervisor and one for each plugin, and goes on with what changes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["News", "PluginNews", "SupervisorNews", "news_fields", "news_of"]


@dataclass(frozen=True, slots=True)
class SupervisorNews:
    """How the supervisor stands.

    Attributes:
        time: When that was said, in seconds since the epoch.
        pid: Its process.
        state: ``"running"`` or ``"stopping"``.
        plugins: The ids of the plugins that it has.
    """

    time: float
    pid: int
    state: str
    plugins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PluginNews:
    """How a plugin stands.

    Attributes:
        time: When that was said, in seconds since the epoch.
        plugin: Its id.
        state: Its state; ``"REMOVED"`` is said once of a plugin that the manifest does not have any more.
        reason: Why, in words.
        since: Since when it is in that state, in seconds since the epoch.
        pid: Its process; None while there is none.
        restarts: How often its process was started again.
        last_exit: How its last process ended: its ``code`` or its ``signal``; None while none has.
        last_lines: What its last process printed last, for one that has FAILED.
    """

    time: float
    plugin: str
    state: str
    reason: str
    since: float
    pid: int | None = None
    restarts: int = 0
    last_exit: Mapping[str, int | None] | None = None
    last_lines: tuple[str, ...] = ()


News = SupervisorNews | PluginNews
_WORDS: Mapping[type[News], str] = {SupervisorNews: "supervisor", PluginNews: "plugin"}


def news_fields(news: News) -> dict[str, object]:
    """Return the fields of the JSON object."""
    return {"type": _WORDS[type(news)], **asdict(news)}


def news_of(fields: Mapping[str, Any]) -> News:
    """Return the value of a JSON object that `news_fields` made.

    Raises:
        ValueError: It is no such object; the supervisor is of another version.
    """
    arguments = {key: value for key, value in fields.items() if key != "type"}
    try:
        if fields.get("type") == "supervisor":
            return SupervisorNews(**{**arguments, "plugins": tuple(arguments["plugins"])})
        return PluginNews(**{**arguments, "last_lines": tuple(arguments["last_lines"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not news of a plugin: {error}") from error
