"""What the plugins print: read from their pipes without ever blocking them or us, and cut into lines."""

import os
from collections.abc import Callable

from malbox_cli.supervisor.log_lines import LineSplitter
from malbox_cli.supervisor.poller import Poller

__all__ = ["OutputPump"]

READ_BYTES = 16 * 1024
"""How much is read in one turn, so that a plugin that floods its output keeps nobody waiting."""
MAX_READS_AT_THE_END = 64
"""As often as the largest pipe that a plugin can make of its own fills it."""


class OutputPump:
    """Reads the pipes of all plugins.

    Args:
        poller: Where the pipes are watched.
        on_lines: Called with a plugin's id and what it printed: whole lines, each with its newline, or the one line
            that it did not end, without.
    """

    def __init__(self, poller: Poller, on_lines: Callable[[str, bytes], None]) -> None:
        self._poller = poller
        self._on_lines = on_lines
        self._pipes: dict[str, int] = {}
        self._splitters: dict[str, LineSplitter] = {}

    def open(self, plugin_id: str, pipe: int) -> None:
        """Read the output of a plugin's new process from a pipe, which does not block, until `finish`."""
        self._pipes[plugin_id] = pipe
        self._splitters[plugin_id] = LineSplitter()
        self._poller.add(pipe, lambda: self._read(plugin_id, 1))

    def last_lines(self, plugin_id: str) -> tuple[str, ...]:
        """Return the last lines that the plugin's last process printed, fit to be shown."""
        splitter = self._splitters.get(plugin_id)
        return splitter.last_lines() if splitter else ()

    def finish(self, plugin_id: str) -> None:
        """Read what a process that has ended left in its pipe, and close that.

        Nobody is waited for: another process that holds the pipe's other end is not read from any more.
        """
        self._read(plugin_id, MAX_READS_AT_THE_END)
        if rest := self._splitters[plugin_id].finish():
            self._on_lines(plugin_id, rest)
        pipe = self._pipes.pop(plugin_id)
        self._poller.remove(pipe)
        os.close(pipe)

    def _read(self, plugin_id: str, reads: int) -> None:
        pipe, splitter = self._pipes[plugin_id], self._splitters[plugin_id]
        for _ in range(reads):
            try:
                data = os.read(pipe, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._poller.remove(pipe)
                return
            if lines := splitter.feed(data):
                self._on_lines(plugin_id, lines)
