"""Where in a JSON value something is: ``$.verdict.labels[0]``, ``$["a key"]``, ``$[-1].name``."""

import json
import re
from collections.abc import Mapping, Sequence

__all__ = ["NotThere", "at", "parse_path", "same"]

_STEP = re.compile(r"""\.(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>-?[0-9]{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]""")


class NotThere(LookupError):
    """There is nothing at a path; its text says up to where there is something."""


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the keys and indices of a path.

    Raises:
        ValueError: It is none; the text says from where on.
    """
    if not text.startswith("$"):
        raise ValueError('a path begins with "$"')
    steps: list[str | int] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise ValueError(f'from {text[position:][:20]!r} on it is no path; write .key, ["any key"] or [0]')
        if found["name"] is not None:
            steps.append(found["name"])
        elif found["index"] is not None:
            steps.append(int(found["index"]))
        else:
            try:
                steps.append(str(json.loads(found["quoted"])))
            except ValueError as error:
                raise ValueError(f"{found['quoted']} is no string of JSON") from error
        position = found.end()
    return tuple(steps)


def at(value: object, path: Sequence[str | int]) -> object:
    """Return what is at a path.

    Raises:
        NotThere: Nothing is.
    """
    shown = "$"
    for step in path:
        match step, value:
            case str(), Mapping() if step in value:
                value = value[step]
            case int(), list() if -len(value) <= step < len(value):
                value = value[step]
            case _:
                raise NotThere(f"{shown} is {_kind(value)} without {json.dumps(step, ensure_ascii=False)}")
        shown += f".{step}" if isinstance(step, str) else f"[{step}]"
    return value


def same(value: object, expected: object) -> bool:
    """Return whether two JSON values are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(same, value, expected))
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        return value.keys() == expected.keys() and all(same(value[key], expected[key]) for key in value)
    return value == expected


def _kind(value: object) -> str:
    match value:
        case Mapping():
            return "an object"
        case list():
            return f"an array of {len(value)}"
        case _:
            return "neither an object nor an array, and so"
