"""What plugins print, as lines that are safe to show."""

from collections import deque

__all__ = ["MAX_LINE_BYTES", "LineSplitter", "escaped", "printable"]

MAX_LINE_BYTES = 16 * 1024
"""A longer line is cut there, and says how much of it is missing."""

KEPT_LINES = 20


class LineSplitter:
    r"""Cuts a stream of bytes into lines, at ``\n`` only, in bounded memory.

    Attributes:
        last: The last lines, for a message about the end of the process that printed them.
    """

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self._head = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes."""
        *complete, rest = data.split(b"\n")
        lines = []
        for part in complete:
            self._add(part)
            lines.append(self._take())
        self._add(rest)
        return lines

    def finish(self) -> list[str]:
        """Return the line that was not ended, if there is one."""
        return [self._take()] if self._head or self._dropped else []

    def _add(self, part: bytes) -> None:
        room = MAX_LINE_BYTES - len(self._head)
        self._head += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self) -> str:
        line = printable(bytes(self._head))
        if self._dropped:
            line += f" [... {self._dropped} bytes more]"
        self._head.clear()
        self._dropped = 0
        self.last.append(line)
        return line


def printable(data: bytes) -> str:
    """Return text that does nothing to a terminal: what is no UTF-8 and every control character stands escaped."""
    return escaped(data.decode("utf-8", "backslashreplace").removesuffix("\r"))


def escaped(text: str) -> str:
    """Return the text on one line, with everything escaped that is not to be seen but does something."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
