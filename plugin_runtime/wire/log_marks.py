r"""How a line that a plugin prints says its level and its task: by a mark before it, which the supervisor takes off.

::

    \x1e KEY LEVEL TASK FIELDS \x1f TEXT

A space is between KEY and the words after it, and none is where the others of this picture are. KEY is what the
supervisor told this process alone, so that what it prints on a sample's behalf cannot pass for a mark. TASK is a number
or ``-``, FIELDS a JSON object in ASCII or nothing. Neither control character can be within any of them.
"""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast, get_args

__all__ = ["MAX_FIELDS", "PRINTED", "LogMark", "PluginLevel", "fields_text", "mark_start", "marked", "parse_mark"]

PluginLevel = Literal["output", "trace", "debug", "info", "warning", "error"]
"""What a plugin logs; ``output`` is what it printed without saying a level."""

PRINTED: PluginLevel = "output"
MAX_FIELDS = 4096
"""Characters of JSON; a line has 16 KiB."""

_START, _END = "\x1e", "\x1f"
_LEVELS = {level.encode(): level for level in cast("tuple[PluginLevel, ...]", get_args(PluginLevel))}
_MOST_DIGITS = 19


class LogMark(NamedTuple):
    """What a mark says.

    Attributes:
        level: How important the line is.
        task: What task it is about.
        fields: More of it, as a JSON object; empty for nothing.
    """

    level: PluginLevel
    task: int | None
    fields: str


def marked(key: str, level: PluginLevel, task: int | None, fields: str = "") -> str:
    """Return the mark that stands before a line."""
    return f"{_START}{key} {level} {'-' if task is None else task} {fields}{_END}"


def mark_start(key: str) -> bytes:
    """Return what every mark with this key begins with."""
    return f"{_START}{key} ".encode()


def parse_mark(line: bytes) -> tuple[LogMark, bytes] | None:
    """Return what a mark says and the text after it, given what follows `mark_start`; None if it is none."""
    words, end, text = line.partition(_END.encode())
    parts = words.split(b" ", 2)
    if not end or len(parts) != 3:
        return None
    level, task, fields = _LEVELS.get(parts[0]), parts[1], parts[2]
    if level is None or not (task == b"-" or (task.isdigit() and len(task) <= _MOST_DIGITS)) or not fields.isascii():
        return None
    return LogMark(level, None if task == b"-" else int(task), fields.decode()), text


def fields_text(fields: Mapping[str, object]) -> str:
    """Return fields as a mark has them; what is no JSON becomes text, and too much of it is cut."""
    if not fields:
        return ""
    try:
        text = json.dumps(dict(fields), default=str)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps({str(key): str(value)[:MAX_FIELDS] for key, value in fields.items()})
    if len(text) > MAX_FIELDS:
        # A character may take six in JSON.
        text = json.dumps({"cut": text[: MAX_FIELDS // 8]})
    return text
