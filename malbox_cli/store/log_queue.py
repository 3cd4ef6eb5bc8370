"""What waits to be written by a thread that may stand still: bounded, and what finds no room is counted."""

import threading
import time

from malbox_cli.store.log_format import LogEntry

__all__ = ["LogQueue"]

ROOM_FOR_OURS = 2
"""How many times as much may wait when malbox itself has something to say: it says little, and matters more."""


class LogQueue:
    """Takes entries from any thread without ever blocking, for one thread that takes all that wait at once.

    What was dropped of a plugin is said in its place, as an entry about that plugin.

    Args:
        max_bytes: How many may wait.
        max_lines: How many may wait.
        why: Why lines were dropped, for the entry that says so.
    """

    def __init__(self, max_bytes: int, max_lines: int, why: str) -> None:
        self._max_bytes = max_bytes
        self._max_lines = max_lines
        self._why = why
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._entries: list[LogEntry] = []
        self._bytes = self._lines = 0
        self._dropped: dict[str | None, int] = {}

    @property
    def is_closed(self) -> bool:
        """Whether nothing is to come any more."""
        return self._closed.is_set()

    def put(self, entry: LogEntry) -> None:
        """Queue an entry, or drop its lines if there is no room."""
        lines = entry.line_count
        room = 1 if entry.level == "output" else ROOM_FOR_OURS
        with self._changed:
            too_much = self._bytes + len(entry.data) > room * self._max_bytes
            if self._entries and (too_much or self._lines + lines > room * self._max_lines):
                self._dropped[entry.plugin] = self._dropped.get(entry.plugin, 0) + lines
                return
            if entry.plugin in self._dropped:
                self._entries.append(self._notice(entry.plugin, self._dropped.pop(entry.plugin), entry.at))
            self._entries.append(entry)
            self._bytes += len(entry.data)
            self._lines += lines
            self._changed.notify()

    def take(self, timeout: float | None = None) -> list[LogEntry]:
        """Return everything that waits, once something does; nothing if none comes in time, or the queue was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closed.is_set(), timeout)
            entries, self._entries = self._entries, []
            now = time.time_ns() // 1000
            entries += [self._notice(plugin, lines, now) for plugin, lines in self._dropped.items()]
            self._dropped.clear()
            self._bytes = self._lines = 0
        return entries

    def rest(self, seconds: float) -> None:
        """Let entries gather for a while, unless the queue is closed."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """Take note that nothing is to come any more: what waits can still be taken."""
        with self._changed:
            self._closed.set()
            self._changed.notify()

    def _notice(self, plugin: str | None, lines: int, at: int) -> LogEntry:
        text = f"{count_of_lines(lines)} dropped: {self._why}\n"
        return LogEntry(at, plugin, "warning", text.encode())


def count_of_lines(lines: int) -> str:
    """Return a number of lines as a sentence begins with it: ``1 line was``, ``3 lines were``."""
    return "1 line was" if lines == 1 else f"{lines} lines were"
