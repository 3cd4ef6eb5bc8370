"""What of a plugin's log is kept: a level for all of it, and others for some loggers, as ``warn,my_plugin=debug``."""

from dataclasses import dataclass
from typing import Literal, cast

from plugin_runtime.wire.log_marks import PluginLevel

__all__ = ["LogFilter", "parse_log_filter"]

Threshold = PluginLevel | Literal["off"]
_LEVELS: dict[str, Threshold] = {
    **{level: cast("PluginLevel", level) for level in ("trace", "debug", "info", "warning", "error", "off")},
    "warn": "warning",
}
_EXPECTED = "a level is one of trace, debug, info, warn, error and off"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A filter that was read.

    Attributes:
        level: The level from which on records are kept; None where the filter does not say.
        targets: The same for the loggers of these names, and those below them.
    """

    level: Threshold | None = None
    targets: tuple[tuple[str, Threshold], ...] = ()


def parse_log_filter(text: str) -> LogFilter:
    """Read a filter: levels and pairs of a logger's name and a level, with commas between them.

    A name may be written as in Rust, ``my_plugin::parser`` for ``my_plugin.parser``. The last word about a name counts.

    Raises:
        ValueError: It is none; the text says where.
    """
    level: Threshold | None = None
    targets: dict[str, Threshold] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, is_pair, word = (each.strip() for each in part.rpartition("="))
        threshold = _LEVELS.get(word.lower())
        if threshold is None:
            raise ValueError(f"has {part!r}, which is neither a level nor name=level: {_EXPECTED}")
        if not is_pair:
            level = threshold
        elif not name or any(char in name for char in " =[]{}\0"):
            raise ValueError(f"has {part!r}, whose name is none of a logger; write name=level, such as my_plugin=debug")
        else:
            targets[name.replace("::", ".")] = threshold
    return LogFilter(level, tuple(targets.items()))
