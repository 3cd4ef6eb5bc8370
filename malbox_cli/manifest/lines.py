"""In which line of a TOML text a key stands.

`tomllib` keeps no positions. A TOML text is a row of statements (a table's header, or a key with its value), each of
which ends at the first line break outside of strings and brackets, and each of which is a TOML text of its own. So the
text is cut into statements in one pass, and `tomllib` says of each which keys it sets.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["KeyPath", "LineIndex", "Statement", "line_of", "statements"]

KeyPath = tuple[str | int, ...]
"""The names of the tables and the key, and for an element of an array its index."""

# What can hide a bracket or a line break, the brackets themselves, and the line break. In this order: three quotes
# open a long string, and a long string may end in up to two quotes of its own before the three that close it.
_TOKEN = re.compile(
    r"""
      \"\"\" (?: [^\\] | \\. )*? \"\"\" \"{0,2}
    | ''' .*? ''' '{0,2}
    | " (?: [^"\\\n] | \\[^\n] )* "
    | ' [^'\n]* '
    | \# [^\n]*
    | (?P<open> [\[{] )
    | (?P<close> [\]}] )
    | (?P<newline> \n )
    """,
    re.VERBOSE | re.DOTALL,
)

# A key up to its equals sign, which may also stand inside of a quoted part.
_KEY = re.compile(r"""(?: [^"'=] | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' )* =""", re.VERBOSE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One header or one key with its value.

    Attributes:
        line: The line it begins in, counted from 1.
        last_line: The line it ends in.
        text: The statement, with a line break at its end.
    """

    line: int
    last_line: int
    text: str

    @property
    def is_header(self) -> bool:
        """Whether it is a table's header, ``[a.b]`` or ``[[a.b]]``."""
        return self.text.lstrip().startswith("[")


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a text, without blank lines and comments; what is not finished comes as the last."""
    start = depth = 0
    line = 1
    for token in _TOKEN.finditer(text if text.endswith("\n") else text + "\n"):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["newline"] and depth <= 0:
            piece = text[start : token.end()]
            yield from _statement(piece, line)
            line += piece.count("\n")
            start, depth = token.end(), 0
    yield from _statement(text[start:], line)


def line_of(text: str, key_path: KeyPath) -> int | None:
    """Return the line, counted from 1, of the statement that first sets this key or table; None if none does.

    A statement is one unit: a key inside an inline table or an array stands where the statement begins.

    Args:
        text: A valid TOML text.
        key_path: The key, as `tomllib` would nest it.
    """
    return LineIndex(text).line_of(key_path)


class LineIndex:
    """The lines of all keys of one text, for whoever asks more than once."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._targets: list[tuple[Statement, KeyPath]] = []
        header: KeyPath = ()
        lengths: dict[KeyPath, int] = {}  # of the arrays of tables so far
        for statement in statements(text):
            try:
                parsed = tomllib.loads(statement.text)
            except (ValueError, RecursionError):
                continue  # not valid by itself, so it sets nothing
            if statement.is_header:
                header = _enter(parsed, lengths)
                for depth in range(1, len(header) + 1):
                    self._lines.setdefault(header[:depth], statement.line)
                self._targets.append((statement, header))
            else:
                self._record(header, parsed, statement)

    def line_of(self, key_path: KeyPath) -> int | None:
        """Return the line of the statement that first sets this key or table; None if none does."""
        return self._lines.get(key_path)

    def nearest_line_of(self, key_path: KeyPath) -> int | None:
        """Return the line of the key, or of the innermost table around it that is there; None if none is."""
        depths = range(len(key_path), 0, -1)
        return next((line for n in depths if (line := self._lines.get(key_path[:n])) is not None), None)

    def target_at(self, line: int) -> tuple[Statement, KeyPath] | None:
        """Return the statement that covers a line and the table or key that it names; None if none covers it."""
        return next((found for found in self._targets if found[0].line <= line <= found[0].last_line), None)

    def _record(self, header: KeyPath, parsed: dict[str, object], statement: Statement) -> None:
        key = _KEY.match(statement.text)
        if key is not None:
            # With a plain value in its place, the value's own keys cannot be taken for parts of a dotted key.
            path, _ = _innermost(tomllib.loads(key[0] + "0"))
            self._targets.append((statement, header + path))
        todo: list[tuple[KeyPath, object]] = [(header, parsed)]
        while todo:
            path, value = todo.pop()
            if path:
                self._lines.setdefault(path, statement.line)
            if isinstance(value, dict):
                todo.extend(((*path, key), child) for key, child in value.items())
            elif isinstance(value, list):
                todo.extend(((*path, index), child) for index, child in enumerate(value))


def _statement(piece: str, line: int) -> Iterator[Statement]:
    stripped = piece.strip(" \t\r\n")
    if stripped and not stripped.startswith("#"):
        yield Statement(line, line + piece.rstrip("\r\n").count("\n"), piece if piece.endswith("\n") else piece + "\n")


def _innermost(parsed: dict[str, object]) -> tuple[KeyPath, object]:
    """Follow the tables that have one key only: where a header or a dotted key leads."""
    path: KeyPath = ()
    value: object = parsed
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        path = (*path, key)
    return path, value


def _enter(parsed: dict[str, object], lengths: dict[KeyPath, int]) -> KeyPath:
    """Return the table that a header opens, with the indices of the arrays of tables on the way."""
    names, value = _innermost(parsed)
    path: KeyPath = ()
    for depth, name in enumerate(names, 1):
        path = (*path, name)
        if depth == len(names) and isinstance(value, list):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, lengths[path] - 1)
    return path
