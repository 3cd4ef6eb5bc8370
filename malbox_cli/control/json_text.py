"""Which bytes are JSON that every reader can read, and JSON as text on one line."""

import json
import math
from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "on_one_line", "parse_json"]

MAX_DEPTH = 200
"""How deep lists and objects may stand in each other: deeper ones end a reader that is written with recursion."""


def parse_json(data: bytes) -> object:
    """Return the value of a JSON text in UTF-8.

    Stricter than `json.loads`, because what passes is printed as JSON for other programs: no other encoding, no
    ``NaN`` or ``Infinity``, no number that is too large for a float, and at most `MAX_DEPTH` deep.

    Raises:
        ValueError: It is none.
    """
    try:
        value: object = json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    # Most texts have fewer brackets than the limit; only the others have to be walked.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError("it is nested too deep")
    return value


def on_one_line(text: str) -> str:
    """Return a JSON text without line breaks; they stand between its tokens only, because in strings they are escaped.

    Nothing else of it changes: writing it anew could change its numbers and lose one of two equal keys.
    """
    return text.replace("\n", " ").replace("\r", " ")


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while outer := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in outer for inner in _inside(item)]
    return depth


def _inside(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value
