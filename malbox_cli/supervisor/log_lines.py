"""What plugins print, cut into lines, and as text that is safe to show."""

from collections import deque

from plugin_runtime.wire.log_marks import parse_mark

__all__ = ["MAX_LINE_BYTES", "LineSplitter", "escaped", "printable"]

MAX_LINE_BYTES = 16 * 1024
"""A longer line is cut there, and says how much of it is missing."""

KEPT_LINES = 20


class LineSplitter:
    r"""Cuts a stream of bytes into lines, at ``\n`` only, in bounded memory; the bytes stay as they were.

    Lines are handed on in blocks, not one by one: a plugin that floods its output prints millions of them, and what is
    done for each takes the supervisor's time from the others.

    Args:
        mark: What marks in the lines begin with, which `last_lines` are without.
    """

    def __init__(self, mark: bytes = b"") -> None:
        self._mark = mark
        self._last: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._head = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> bytes:
        """Return the lines that `data` completes, each with its newline; nothing if it completes none."""
        # No line that lies within one piece is too long.
        pieces = [data[start : start + MAX_LINE_BYTES] for start in range(0, len(data), MAX_LINE_BYTES)]
        return b"".join(map(self._feed, pieces)) if len(pieces) != 1 else self._feed(data)

    def finish(self) -> bytes:
        """Return the line that was not ended, without a newline; nothing if there is none."""
        return self._keep(self._take()) if self._head or self._dropped else b""

    def last_lines(self) -> tuple[str, ...]:
        """Return the last lines, fit to be shown, for a message about the end of the process that printed them."""
        return tuple(printable(self._unmarked(line)) for line in self._last)

    def _feed(self, data: bytes) -> bytes:
        first_end, last_end = data.find(b"\n"), data.rfind(b"\n") + 1
        if not last_end:
            self._add(data)
            return b""
        self._add(data[:first_end])
        lines = self._keep(self._take() + data[first_end:last_end])
        self._add(data[last_end:])
        return lines

    def _add(self, part: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._head)
        self._head += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self) -> bytes:
        line = bytes(self._head)
        if self._dropped:
            line += b" [... %d bytes more]" % self._dropped
        self._head.clear()
        self._dropped = 0
        return line

    def _unmarked(self, line: bytes) -> bytes:
        unmarked, *marked = line.split(self._mark) if self._mark else [line]
        for piece in marked:
            read = parse_mark(piece)
            unmarked += piece if read is None else read[1]
        return unmarked

    def _keep(self, lines: bytes) -> bytes:
        self._last.extend(lines.removesuffix(b"\n").rsplit(b"\n", KEPT_LINES)[-KEPT_LINES:])
        return lines


def printable(line: bytes) -> str:
    """Return a line as text that does nothing to a terminal: what is no UTF-8 and control characters stand escaped."""
    return escaped(line.decode("utf-8", "backslashreplace").removesuffix("\r"))


def escaped(text: str) -> str:
    """Return the text on one line, with everything escaped that is not to be seen but does something."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
