"""A plugin's standard output and standard error where the supervisor reads marks."""

import io
import os
import threading
from typing import TextIO

from plugin_runtime.current_task import current_task
from plugin_runtime.wire.log_marks import PRINTED, PluginLevel, marked

__all__ = ["MarkedLines", "MarkedStream"]

_Writer = tuple[int, int | None]
"""A thread, and the task that it works on."""

MAX_BROKEN = 1000


class MarkedLines:
    """Where the lines of both streams stand, which end in one pipe.

    What one thread prints in several pieces is one line, also where others print meanwhile: their lines end it, and it
    goes on in another. Nothing is held back: the last words of a process that dies are in the log.

    Args:
        key: What the supervisor knows marks by.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._writer: _Writer | None = None
        self._last_mark: tuple[PluginLevel, int | None, str] = (PRINTED, None, "")
        self._broken: set[_Writer] = set()
        self._new_lock()
        os.register_at_fork(after_in_child=self._new_lock)  # a thread that is not in the child may have had it

    def _new_lock(self) -> None:
        self.lock = threading.RLock()  # a signal's handler may print while its thread does

    def printed(self, text: str, level: PluginLevel) -> str:
        """Return what to write for a piece of text; with the lock."""
        task = current_task()
        writer = (threading.get_ident(), task)
        if text == "\n" and self._writer == writer:  # as `print` ends a line
            self._writer = None
            return text
        before = "" if self._writer == writer else self._end_line()
        if self._broken and writer in self._broken:
            self._broken.discard(writer)
            text = text.removeprefix("\n")  # it was ended before
        if not text:
            return before
        mark = "" if task is None and level == PRINTED else self._mark(level, task)
        if "\n" not in text:
            goes_on = self._writer is not None
            self._writer = writer
            return before + text if goes_on else f"{before}{mark}{text}"
        lines = text.split("\n")
        if mark:
            goes_on = self._writer is not None
            lines = [
                line if (not index and goes_on) or (index == len(lines) - 1 and not line) else mark + line
                for index, line in enumerate(lines)
            ]
        self._writer = writer if lines[-1] else None
        return before + "\n".join(lines)

    def _mark(self, level: PluginLevel, task: int | None) -> str:
        if self._last_mark[:2] != (level, task):
            self._last_mark = (level, task, marked(self._key, level, task))
        return self._last_mark[2]

    def logged(self, text: str, level: PluginLevel, task: int | None, fields: str) -> str:
        """Return what to write for whole lines; with the lock."""
        first, mark = marked(self._key, level, task, fields), marked(self._key, level, task)
        return f"{self._end_line()}{first}{f'{chr(10)}{mark}'.join(text.split(chr(10)))}\n"

    def _end_line(self) -> str:
        """Return what ends the line that somebody has begun."""
        if self._writer is None:
            return ""
        if len(self._broken) >= MAX_BROKEN:
            self._broken.clear()
        self._broken.add(self._writer)
        self._writer = None
        return "\n"


class MarkedStream(io.TextIOWrapper):
    """A stream in the place of standard output or standard error.

    Args:
        stream: What it takes the place of.
        lines: What both have in common.

    Attributes:
        next_level: By thread, the level of what it writes next, where a handler of `logging` does.
    """

    def __init__(self, stream: TextIO, lines: MarkedLines) -> None:
        super().__init__(stream.buffer, encoding=stream.encoding, errors=stream.errors, write_through=True)
        self._lines = lines
        self.next_level: dict[int, PluginLevel] = {}
        self._is_buffered = not isinstance(stream.buffer, io.RawIOBase)

    @property
    def name(self) -> str:
        """The stream's name."""
        return str(self.buffer.name)

    def write(self, text: str, /) -> int:
        """Write text, with a mark before each line that begins in it."""
        level = self.next_level.pop(threading.get_ident(), PRINTED) if self.next_level else PRINTED
        with self._lines.lock:
            self._put(self._lines.printed(text, level))
        return len(text)

    def log(self, text: str, level: PluginLevel, task: int | None, fields: str = "") -> None:
        """Write lines of a level."""
        with self._lines.lock:
            self._put(self._lines.logged(text, level, task, fields))

    def _put(self, text: str) -> None:
        super().write(text)
        if self._is_buffered:
            super().flush()
