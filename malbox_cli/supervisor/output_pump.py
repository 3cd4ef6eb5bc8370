"""What the plugins print: read from their pipes without ever blocking them or us, and cut into lines."""

import os
import time
from collections.abc import Callable

from malbox_cli.supervisor.allowance import Allowance
from malbox_cli.supervisor.log_lines import LineSplitter
from malbox_cli.supervisor.poller import Poller

__all__ = ["OutputPump"]

READ_BYTES = 64 * 1024
"""How much is read in one turn; as much as a pipe holds."""
MAX_READS_AT_THE_END = 16
"""As often as the largest pipe that a plugin can make of its own fills it."""
BURST = 8 << 20
RATE = 32 << 20
"""Bytes that a plugin can print as fast as it can, and in each second after that.

One that floods its output is to have a part of our time, not all of it, and the disk is to keep up.
"""


class OutputPump:
    """Reads the pipes of all plugins.

    Args:
        poller: Where the pipes are watched.
        on_lines: Called with a plugin's id, what it printed, and what the marks in that begin with. It is whole lines,
            each with its newline, or the one line that the plugin did not end, without.
    """

    def __init__(self, poller: Poller, on_lines: Callable[[str, bytes, bytes], None]) -> None:
        self._poller = poller
        self._on_lines = on_lines
        self._pipes: dict[str, int] = {}
        self._marks: dict[str, bytes] = {}
        self._splitters: dict[str, LineSplitter] = {}
        self._allowances: dict[str, Allowance] = {}
        self._paused: dict[str, float] = {}

    def open(self, plugin_id: str, pipe: int, mark: bytes = b"") -> None:
        """Read the output of a plugin's new process from a pipe, which does not block, until `finish`.

        Args:
            plugin_id: Whose it is.
            pipe: Where it comes.
            mark: What the marks in it begin with; empty where there are none.
        """
        self._pipes[plugin_id] = pipe
        self._marks[plugin_id] = mark
        self._splitters[plugin_id] = LineSplitter(mark)
        self._allowances[plugin_id] = Allowance(BURST, RATE)
        self._watch(plugin_id)

    def next_deadline(self) -> float | None:
        """Return when `resume` has something to do, in seconds of the monotonic clock; None: never."""
        return min(self._paused.values(), default=None)

    def resume(self, now: float) -> None:
        """Read the pipes again whose pause is over."""
        for plugin_id in [plugin_id for plugin_id, until in self._paused.items() if until <= now]:
            del self._paused[plugin_id]
            self._watch(plugin_id)

    def last_lines(self, plugin_id: str) -> tuple[str, ...]:
        """Return the last lines that the plugin's last process printed, fit to be shown."""
        splitter = self._splitters.get(plugin_id)
        return splitter.last_lines() if splitter else ()

    def finish(self, plugin_id: str) -> None:
        """Read what a process that has ended left in its pipe, and close that.

        Nobody is waited for: another process that holds the pipe's other end is not read from any more.
        """
        self._paused.pop(plugin_id, None)
        for _ in range(MAX_READS_AT_THE_END):
            if not self._read(plugin_id):
                break
        if rest := self._splitters[plugin_id].finish():
            self._on_lines(plugin_id, rest, self._marks[plugin_id])
        pipe = self._pipes.pop(plugin_id)
        self._poller.remove(pipe)
        os.close(pipe)

    def _watch(self, plugin_id: str) -> None:
        self._poller.add(self._pipes[plugin_id], lambda: self._take_turn(plugin_id))

    def _take_turn(self, plugin_id: str) -> None:
        size, now = self._read(plugin_id), time.monotonic()
        if pause := self._allowances[plugin_id].spend(size, now):
            self._poller.remove(self._pipes[plugin_id])
            self._paused[plugin_id] = now + pause

    def _read(self, plugin_id: str) -> int:
        """Read once, and return how many bytes there were."""
        pipe = self._pipes[plugin_id]
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._poller.remove(pipe)
        elif lines := self._splitters[plugin_id].feed(data):
            self._on_lines(plugin_id, lines, self._marks[plugin_id])
        return len(data)
