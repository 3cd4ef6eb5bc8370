"""Where everything comes together that is to be logged: it goes to the operator's terminal and to disk.

Nothing here blocks: both have a thread of their own, and drop lines when they cannot keep up.
"""

import time
from pathlib import Path
from typing import Protocol

from malbox_cli.store.log_format import LogEntry, OwnLevel
from malbox_cli.store.log_writer import LogWriter
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.log_lines import escaped

__all__ = ["LogHub", "Say"]


class Say(Protocol):
    """Takes what an operator should know: a level, a text, and the plugin that it is about."""

    def __call__(self, level: OwnLevel, text: str, plugin_id: str | None = None, /) -> None:
        """Take it."""


class LogHub:
    """Hands what plugins print, and what malbox says, to the terminal and to the logs on disk.

    Args:
        console: The terminal; whoever made it closes it.
        folder: Where the logs are; it is made with the first line.
    """

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        # That the disk is full is nothing to write to it.
        self._writer = LogWriter(folder, lambda text: console.put(_said("warning", text, None)))

    def printed(self, plugin_id: str, data: bytes, mark: bytes = b"") -> None:
        """Take what a plugin printed: whole lines, each with its newline, or the one that it did not end.

        Marks, which begin with `mark`, are taken off on the threads.
        """
        self._put(LogEntry(_now(), plugin_id, "output", data, mark))

    def say(self, level: OwnLevel, text: str, plugin_id: str | None = None) -> None:
        """Take what malbox has to say, of itself or of a plugin; with the plugin's name before it or without."""
        self._put(_said(level, text, plugin_id))

    def close(self) -> None:
        """Write what waits to disk, as long as that takes it within two seconds."""
        self._writer.close()

    def _put(self, entry: LogEntry) -> None:
        self._console.put(entry)
        self._writer.put(entry)


def _said(level: OwnLevel, text: str, plugin_id: str | None) -> LogEntry:
    if plugin_id is not None:
        text = text.removeprefix(f"{plugin_id}: ")
    return LogEntry(_now(), plugin_id, level, escaped(text).encode("utf-8", "backslashreplace") + b"\n")


def _now() -> int:
    return time.time_ns() // 1000
