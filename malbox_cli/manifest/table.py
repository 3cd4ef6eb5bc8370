"""Reading one TOML table: each key by its type, what does not fit as a finding, at the end what nobody asked for."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from datetime import date, time
from pathlib import PurePath
from typing import TypeVar

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.lines import KeyPath
from malbox_cli.manifest.specs import Severity
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.units import format_duration, format_size, parse_duration, parse_size

__all__ = ["Table", "describe", "shown", "shown_path"]

_T = TypeVar("_T")
_LONGEST_SHOWN = 60


def shown(value: str) -> str:
    """Return a string for a message: in quotes, on one line, cut where it is long."""
    return repr(value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 3] + "...")


def shown_path(path: PurePath) -> str:
    """Return a path for a message: in quotes, on one line, whole, because its end says the most."""
    return repr(str(path))


def describe(value: object) -> str:
    """Return what a TOML value is, for a message: ``the integer 30``, ``a table``."""
    match value:
        case str():
            return f"the string {shown(value)}"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int():
            # Python refuses to write out thousands of digits.
            return f"the integer {value}" if value.bit_length() <= 128 else "an integer of very many digits"
        case float():
            return f"the float {value!r}"
        case date() | time():
            return f"the date or time {value.isoformat()}"
        case dict():
            return "a table"
        case _:
            return "an array"


class Table:
    """One table of a file. Every reader returns None (or nothing in it) for what is absent or was found wrong."""

    def __init__(self, data: Mapping[str, object], path: KeyPath, findings: Findings) -> None:
        self.data = data
        self.path = path
        self._findings = findings
        self._known: dict[str, None] = {}  # in order
        self._unlisted: set[str] = set()

    def has(self, key: str) -> bool:
        """Return whether the key is there, of whatever type."""
        return key in self.data

    def know_silently(self, *keys: str) -> None:
        """Count keys as known that are judged elsewhere; no message proposes them."""
        self._unlisted.update(keys)

    def error(self, key: str, message: str) -> None:
        """Add an error at one of the table's keys."""
        self._findings.error((*self.path, key), message)

    def error_in(self, key: str, index: int, message: str) -> None:
        """Add an error at one element of an array."""
        self._findings.error((*self.path, key, index), message)

    def error_below(self, key: str, name: str, message: str) -> None:
        """Add an error at a key of a table inside of this one."""
        self._findings.error((*self.path, key, name), message)

    def note(self, key: str, message: str) -> None:
        """Add a note at one of the table's keys."""
        self._findings.note((*self.path, key), message)

    def note_in(self, key: str, index: int, message: str) -> None:
        """Add a note at one element of an array."""
        self._findings.note((*self.path, key, index), message)

    def string(self, key: str, *, expected: str, may_be_empty: bool = False) -> str | None:
        """Return a string without NUL."""
        text = self._typed(key, str, expected)
        if text is None:
            return None
        if "\0" in text:
            self.error(key, "has a NUL character in it, which no program can be given; remove it")
            return None
        if not text and not may_be_empty:
            self.error(key, f"is empty; write {expected}, or remove it")
            return None
        return text

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        """Return a string that is one of a few."""
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        text = self._typed(key, str, f"one of {allowed}")
        if text is None or text in choices:
            return text
        self.error(key, f"is {shown(text)}{did_you_mean(text, choices)}; write one of {allowed}")
        return None

    def boolean(self, key: str) -> bool | None:
        """Return true or false."""
        return self._typed(key, bool, "true or false")

    def integer(
        self, key: str, *, at_least: int, at_most: int, example: int, expected: str | None = None
    ) -> int | None:
        """Return an integer within bounds; `expected` says what else may be written there."""
        number = self._typed(key, int, expected or f"an integer such as {example}")
        if number is None or at_least <= number <= at_most:
            return number
        bound = f"at least {at_least}" if number < at_least else f"at most {at_most}"
        self.error(key, f"is {describe(number)}, but has to be {bound}; write {example}, for example")
        return None

    def seconds(self, key: str, *, example: int) -> float | None:
        """Return a positive number of seconds, an integer or a float."""
        value: object = self.data.get(key)
        wanted = float if isinstance(value, float) else int
        number = self._typed(key, wanted, f"a number of seconds such as {example}")
        if number is None:
            return None
        if not 0 < number <= 366 * 86400:
            self.error(key, f"is {describe(number)}, but has to be more than 0 and at most a year; write {example}")
            return None
        return float(number)

    def integers(self, key: str, *, expected: str, at_least: int, at_most: int) -> tuple[int, ...] | None:
        """Return an array of integers within bounds."""
        value = self._typed(key, list, expected)
        numbers = []
        for index, item in enumerate(value or ()):
            if isinstance(item, bool) or not isinstance(item, int):
                self.error_in(key, index, f"is {describe(item)}, expected an integer from {at_least} to {at_most}")
            elif not at_least <= item <= at_most:
                self.error_in(key, index, f"is {describe(item)}, but has to be from {at_least} to {at_most}")
            else:
                numbers.append(item)
        return tuple(numbers) if value is not None and len(numbers) == len(value) else None

    def size(self, key: str, *, example: str, at_least: int) -> int | None:
        """Return the bytes of a size with its unit."""
        expected = f'a size such as "{example}"'
        text = self._typed(key, str, expected)
        if text is None:
            return None
        try:
            size = parse_size(text)
        except ValueError as error:
            self.error(key, str(error))
            return None
        if size < at_least:
            self.error(key, f"is {shown(text)}, but has to be at least {format_size(at_least)}; write {expected}")
            return None
        return size

    def duration(self, key: str, *, example: str, at_least: float = 0.0, may_be_off: bool = False) -> float | None:
        """Return the seconds of a duration with its unit, more than zero.

        Args:
            key: The key.
            example: How one is written.
            at_least: The least that makes sense.
            may_be_off: Whether it may also be ``"off"``, for which zero is returned.
        """
        self._known[key] = None
        value = self.data.get(key)
        if may_be_off and value == "off":
            return 0.0
        expected = f'a duration such as "{example}"' + (', or "off"' if may_be_off else "")
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.error(key, f'is {describe(value)}, expected {expected}; put it in quotes with its unit, as in "30s"')
            return None
        text = self._typed(key, str, expected)
        if text is None:
            return None
        if text.startswith("-"):
            self.error(key, f"is {shown(text)}, but a duration cannot be negative; write {expected}")
            return None
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            self.error(key, f"{error}" + ('; or write "off"' if may_be_off else ""))
            return None
        if seconds <= 0:
            self.error(key, f"is {shown(text)}, but has to be more than zero; write {expected}")
            return None
        if seconds < at_least:
            self.error(key, f"is {shown(text)}, but has to be at least {format_duration(at_least)}; write {expected}")
            return None
        return seconds

    def whole_seconds(self, key: str, *, example: str) -> int | None:
        """Return the seconds of a duration that is a whole number of them, at least one."""
        seconds = self.duration(key, example=example, at_least=1)
        if seconds is None or seconds.is_integer():
            return None if seconds is None else int(seconds)
        self.error(key, f'is {format_duration(seconds)}, but counts in whole seconds; write "{math.ceil(seconds)}s"')
        return None

    def strings(self, key: str, *, expected: str) -> tuple[str, ...] | None:
        """Return an array of strings without NUL."""
        self._known[key] = None
        if key not in self.data:
            return None
        value = self.data[key]
        if not isinstance(value, list):
            self.error(key, f"is {describe(value)}, expected {expected}")
            return None
        texts = []
        for index, item in enumerate(value):
            path = (*self.path, key, index)
            if not isinstance(item, str):
                self._findings.error(path, f"is {describe(item)}, expected a string{_quoted(item)}")
            elif "\0" in item:
                self._findings.error(path, "has a NUL character in it, which no program can be given; remove it")
            else:
                texts.append(item)
        return tuple(texts) if len(texts) == len(value) else None

    def string_map(self, key: str, *, example: str, refuse_name: Callable[[str], str | None]) -> dict[str, str]:
        """Return a table of strings.

        Args:
            key: The table's name.
            example: How one is written.
            refuse_name: Returns what is wrong with a name in it, or None.
        """
        table = self.table(key, example=example)
        texts: dict[str, str] = {}
        for name, value in table.data.items() if table is not None else ():
            path = (*self.path, key, name)
            fault = refuse_name(name)
            if fault is not None:
                self._findings.error(path, fault)
            elif not isinstance(value, str):
                message = f"is {describe(value)}, but values in {key} are strings{_quoted(value)}"
                self._findings.error(path, message)
            elif "\0" in value:
                self._findings.error(path, "has a NUL character in it, which no program can be given; remove it")
            else:
                texts[name] = value
        return texts

    def table(self, key: str, *, example: str) -> "Table | None":
        """Return a table inside of this one."""
        self._known[key] = None
        if key not in self.data:
            return None
        value = self.data[key]
        if not isinstance(value, dict):
            self.error(key, f"is {describe(value)}, expected a table such as {example}")
            return None
        return Table(value, (*self.path, key), self._findings)

    def tables(self, key: str, *, example: str) -> "tuple[Table, ...]":
        """Return the tables of an array of tables."""
        value = self._typed(key, list, f"an array of tables such as {example}")
        tables = []
        for index, item in enumerate(value or ()):
            path = (*self.path, key, index)
            if isinstance(item, dict):
                tables.append(Table(item, path, self._findings))
            else:
                self._findings.error(path, f"is {describe(item)}, expected a table such as {example}")
        return tuple(tables)

    def finish(self, severity: Severity = "error") -> None:
        """Add a finding for every key that was never asked for."""
        for key in self.data:
            if key in self._known or key in self._unlisted:
                continue
            keys = ", ".join(self._known)
            message = f"is not a key that is known here{did_you_mean(key, self._known)}; the keys are {keys}"
            if severity == "error":
                self.error(key, message)
            else:
                self._findings.note((*self.path, key), f"{message}; it is ignored, as Malbox does")

    def _typed(self, key: str, kind: type[_T], expected: str) -> _T | None:
        self._known[key] = None
        if key not in self.data:
            return None
        value = self.data[key]
        # To Python a boolean is an integer; to TOML it is not.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        self.error(key, f"is {describe(value)}, expected {expected}")
        return None


def _quoted(value: object) -> str:
    """Return how to write a value that should have been a string, if it has a plain form."""
    match value:
        case bool():
            text = str(value).lower()
        case int() if value.bit_length() > 128:
            return ""
        case int() | float():
            text = str(value)
        case date() | time():
            text = value.isoformat()
        case _:
            return ""
    return f"; write it in quotes: {json.dumps(text)}"
