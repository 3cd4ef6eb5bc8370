"""Checks of what an author puts into a report, made where it is put in, so that the traceback points there."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def check_text(where: str, value: str) -> None:
    """Check that `value` is text that UTF-8 can carry.

    Raises:
        TypeError: It is not a string.
        ValueError: It has surrogates, as the name of a file that is not UTF-8 has in Python.
    """
    if not isinstance(value, str):
        raise TypeError(f"{where} takes text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} takes text that UTF-8 can carry, not {value!r}") from error


def check_optional_text(where: str, value: str | None) -> None:
    """Do what `check_text` does, for a value that may be None."""
    if value is not None:
        check_text(where, value)


def check_flag(where: str, value: bool) -> None:
    """Check that `value` is True or False.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{where} takes True or False, not {type(value).__name__}")


def check_integer(where: str, value: int, lowest: int, highest: int) -> None:
    """Check that `value` is a whole number from `lowest` to `highest`.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{where} takes a whole number, not {type(value).__name__}")
    if not lowest <= value <= highest:
        raise ValueError(f"{where} takes a whole number from {lowest} to {highest}, not {value}")


def checked_items(where: str, items: object, kind: type[T]) -> tuple[T, ...]:
    """Return `items` as a tuple of which every item is of `kind`.

    Raises:
        TypeError: It is not a list, or an item is of another type.
    """
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise TypeError(f"{where} takes a list of {kind.__name__}, not {type(items).__name__}")
    checked: list[T] = []
    for index, item in enumerate(items):
        if not isinstance(item, kind):
            raise TypeError(f"{where} takes a list of {kind.__name__}; item {index} is {type(item).__name__}")
        checked.append(item)
    return tuple(checked)


def json_copy(where: str, value: Any) -> Any:  # noqa: ANN401 - whatever the json module can encode
    """Return `value` as JSON would give it back: a copy of its own, with lists for tuples and strings for keys.

    Raises:
        TypeError: It holds an object that JSON has no form for.
        ValueError: It holds NaN, infinity, surrogates or itself, or is nested too deep.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{where} takes what JSON can hold: it is nested too deep") from error
    except TypeError as error:
        raise TypeError(f"{where} takes what JSON can hold: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where} takes what JSON can hold: {error}") from error


def without_none(entries: dict[str, Any]) -> dict[str, Any]:
    """Return `entries` in their order without those that are None."""
    return {key: value for key, value in entries.items() if value is not None}
