"""The processes of the plugins, each with its output and its end on the reactor's poller."""

import os
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.guardian import kill_marked
from malbox_cli.supervisor.log_lines import LineSplitter
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import Child, spawn
from plugin_runtime.environment import INSTANCE

__all__ = ["Children"]

READ_BYTES = 16 * 1024
"""How much is read in one turn, so that a plugin that floods its output keeps nobody waiting, even with empty lines."""
MAX_READS_AT_THE_END = 64
"""As often as the largest pipe that a plugin can make of its own fills it."""


def _ignore(plugin_id: str) -> None:
    del plugin_id


class Children:
    """Starts processes, watches them and reads what they print.

    Args:
        poller: Where their ends and their output are watched.
        guard: Who is told of each process, to end it should we be killed.
        variables: Returns what a plugin's process is told, given its instance.
        on_line: Called with a plugin's id and a line that it printed.
        descriptor_limits: The soft and hard limit on open descriptors that a plugin gets.

    Attributes:
        on_end: Called with a plugin's id when its process has ended, before `reap`.
    """

    def __init__(
        self,
        poller: Poller,
        guard: Guard,
        variables: Callable[[PluginSpec, str], Mapping[str, str]],
        on_line: Callable[[str, str], None],
        descriptor_limits: tuple[int, int],
    ) -> None:
        self.on_end: Callable[[str], None] = _ignore
        self._poller = poller
        self._guard = guard
        self._variables = variables
        self._on_line = on_line
        self._descriptor_limits = descriptor_limits
        self._children: dict[str, Child] = {}
        self._marks: dict[str, str] = {}
        self._splitters: dict[str, LineSplitter] = {}

    def get(self, plugin_id: str) -> Child | None:
        """Return a plugin's process, or None."""
        return self._children.get(plugin_id)

    def last_line(self, plugin_id: str) -> str:
        """Return the last line that is not empty of what the plugin's last process printed."""
        splitter = self._splitters.get(plugin_id)
        return next((line for line in reversed(splitter.last) if line.strip()), "") if splitter else ""

    def spawn(self, spec: PluginSpec) -> tuple[Child, str]:
        """Start a plugin's process; return it and the nonce that it was given.

        Raises:
            SpawnError: It could not be started.
        """
        instance = secrets.token_hex(8)
        child = spawn(spec, self._variables(spec, instance), self._descriptor_limits)
        self._marks[spec.id] = f"{INSTANCE}={instance}"
        self._guard.spawned(child.pid)
        self._children[spec.id] = child
        self._splitters[spec.id] = LineSplitter()
        self._poller.add(child.pidfd, lambda: self.on_end(spec.id))
        self._poller.add(child.output, lambda: self._read(spec.id, 1))
        return child, instance

    def signal(self, plugin_id: str, number: int) -> None:
        """Send a signal to a plugin's group, if it has a process."""
        child = self._children.get(plugin_id)
        if child is not None:
            child.signal(number)

    def reap(self, plugin_id: str) -> tuple[int, ExitStatus]:
        """Return the pid and the status of a process that has ended, after handing on the last that it printed.

        What it had started ends too.
        """
        child = self._children[plugin_id]
        status = child.reap()
        kill_marked(self._marks[plugin_id])
        self._read(plugin_id, MAX_READS_AT_THE_END)
        for line in self._splitters[plugin_id].finish():
            self._on_line(plugin_id, line)
        del self._children[plugin_id]
        self._poller.remove(child.pidfd)
        self._poller.remove(child.output)
        child.close()
        self._guard.reaped(child.pid)
        return child.pid, status

    def kill_all(self) -> None:
        """Kill and reap what still runs."""
        with ExitStack() as stack:  # what goes wrong with one of them keeps none of the others alive
            for plugin_id, child in self._children.items():
                child.signal(signal.SIGKILL)
                stack.callback(self.reap, plugin_id)

    def _read(self, plugin_id: str, reads: int) -> None:
        child, splitter = self._children[plugin_id], self._splitters[plugin_id]
        for _ in range(reads):
            try:
                data = os.read(child.output, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._poller.remove(child.output)
                return
            for line in splitter.feed(data):
                self._on_line(plugin_id, line)
