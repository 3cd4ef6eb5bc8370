"""Puts logs on disk, on a thread of its own: a disk that is slow, full or broken costs lines, and nobody any time."""

import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from malbox_cli.manifest.specs import OWN_NAME
from malbox_cli.store.log_file import append, log_path
from malbox_cli.store.log_format import LogEntry, to_block, unpacked
from malbox_cli.store.log_queue import LogQueue, count_of_lines

__all__ = ["LogWriter"]

MAX_BYTES = 8 << 20
MAX_LINES = 500_000
GATHER_SECONDS = 0.02
"""How long lines are let to gather after some were written, so that a flood of them is written in large pieces."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a disk that did not take lines is tried again: first, and when it never takes them for long."""
CLOSE_SECONDS = 2.0


class LogWriter:
    """The thread that writes the logs in a folder, a file for each plugin.

    Args:
        folder: Where; it is made, 0700, with the first line.
        warn: Called on the thread, once when lines cannot be written, and once when they can be again.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self._queue = LogQueue(MAX_BYTES, MAX_LINES, "the disk did not take them in time")
        self._lost: dict[str | None, int] = {}
        self._error = ""
        self._pause = FIRST_PAUSE
        self._try_again_at = self._well_since = 0.0
        self._is_well = True
        # It may stand still in a write for ever, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="malbox-log", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry) -> None:
        """Write an entry, later. Does not block."""
        self._queue.put(entry)

    def close(self) -> None:
        """Write what waits, as long as the disk takes it within two seconds."""
        self._queue.close()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            entries = self._queue.take(max(0.0, self._try_again_at - time.monotonic()) if self._lost else None)
            self._write(entries)
            if not entries and self._queue.is_closed:
                return
            self._queue.rest(GATHER_SECONDS)

    def _write(self, entries: list[LogEntry]) -> None:
        by_plugin: dict[str | None, list[LogEntry]] = {}
        for entry in chain.from_iterable(map(unpacked, entries)):
            by_plugin.setdefault(entry.plugin, []).append(entry)
        now = time.monotonic()
        try_again = now >= self._try_again_at or self._queue.is_closed
        for plugin in dict.fromkeys((*self._lost, *by_plugin)):
            of_plugin = by_plugin.get(plugin, [])
            if plugin in self._lost and not try_again:
                self._lost[plugin] += _lines_in(of_plugin)
            else:
                self._append(plugin, of_plugin, now)
        if not self._is_well and not self._lost:
            self._is_well, self._well_since = True, now
            self._warn(f"the logs in {self._folder} are written again")

    def _append(self, plugin: str | None, entries: list[LogEntry], now: float) -> None:
        lost = self._lost.pop(plugin, 0)
        if lost:
            text = f"{count_of_lines(lost)} lost: {self._error}\n"
            at = entries[0].at if entries else time.time_ns() // 1000
            entries = [LogEntry(at, plugin, "warning", text.encode()), *entries]
        name = plugin or OWN_NAME
        written, error = append(self._folder, name, map(to_block, entries))
        if error is None:
            return
        # If not even the first line is there, that may be the one that stands for those that were lost before.
        self._lost[plugin] = _lines_in(entries) - written + (lost - 1 if lost and not written else 0)
        self._error = error.strerror or str(error)
        if self._is_well:
            self._is_well = False
            if now - self._well_since > LONGEST_PAUSE:
                self._pause = FIRST_PAUSE
            path = log_path(self._folder, name)
            self._warn(f"cannot write {path}: {self._error}; lines are missing there until it can")
        if now >= self._try_again_at:
            self._try_again_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _lines_in(entries: list[LogEntry]) -> int:
    return sum(entry.line_count for entry in entries)
