"""Text that is safe and pleasant on a terminal."""

import json
from collections.abc import Mapping, Sequence

__all__ = ["human_duration", "human_size", "one_line", "pretty_json", "safe"]

WIDTH = 100
INDENT = "  "


def safe(text: str) -> str:
    """Return the text with everything escaped that could move the cursor, change colours or turn the line around."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Return the text as `safe` does, and on one line."""
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")


def human_size(size: int) -> str:
    """Return a number of bytes as a person says it: ``17 B``, ``3.0 MiB``."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if round(value, 1) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} PiB"


def human_duration(seconds: float) -> str:
    """Return a duration as a person says it: ``4 ms``, ``1.5 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if round(seconds * 1000) < 1000:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def pretty_json(value: object, indent: str = "") -> str:
    """Return JSON to read: what fits on a line stands on one, long lists of plain values are wrapped."""
    flat = _flat(value)
    if len(indent) + len(flat) <= WIDTH or not isinstance(value, Mapping | list) or not value:
        return flat
    inner = indent + INDENT
    if isinstance(value, Mapping):
        rows = [f"{inner}{_flat(key)}: {pretty_json(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if all(not isinstance(item, Mapping | list) for item in value):
        return f"[\n{_wrapped(value, inner)}\n{indent}]"
    rows = [inner + pretty_json(item, inner) for item in value]
    return "[\n" + ",\n".join(rows) + f"\n{indent}]"


def _flat(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    # What does something to a terminal stands in strings only; there it can be written as JSON's own escapes.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _wrapped(values: Sequence[object], indent: str) -> str:
    lines, line = [], indent
    for number, item in enumerate(values):
        text = _flat(item) + ("," if number < len(values) - 1 else "")
        if len(line) + len(text) + 1 > WIDTH and line != indent:
            lines.append(line.rstrip())
            line = indent
        line += text + " "
    lines.append(line.rstrip())
    return "\n".join(lines)
