"""The processes of the plugins, each with its end on the reactor's poller, and its output in the pump."""

import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.guardian import kill_marked
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import Child, spawn
from plugin_runtime.environment import INSTANCE

__all__ = ["Children"]


def _ignore(plugin_id: str) -> None:
    del plugin_id


class Children:
    """Starts processes and watches them.

    Args:
        poller: Where their ends are watched.
        guard: Who is told of each process, to end it should we be killed.
        variables: Returns what a plugin's process is told, given its instance.
        pump: Where what they print is read.
        descriptor_limits: The soft and hard limit on open descriptors that a plugin gets.

    Attributes:
        on_end: Called with a plugin's id when its process has ended, before `reap`.
    """

    def __init__(
        self,
        poller: Poller,
        guard: Guard,
        variables: Callable[[PluginSpec, str], Mapping[str, str]],
        pump: OutputPump,
        descriptor_limits: tuple[int, int],
    ) -> None:
        self.on_end: Callable[[str], None] = _ignore
        self._poller = poller
        self._guard = guard
        self._variables = variables
        self._pump = pump
        self._descriptor_limits = descriptor_limits
        self._children: dict[str, Child] = {}
        self._marks: dict[str, str] = {}

    def get(self, plugin_id: str) -> Child | None:
        """Return a plugin's process, or None."""
        return self._children.get(plugin_id)

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
        self._poller.add(child.pidfd, lambda: self.on_end(spec.id))
        self._pump.open(spec.id, child.output)
        return child, instance

    def signal(self, plugin_id: str, number: int) -> None:
        """Send a signal to a plugin's group, if it has a process."""
        child = self._children.get(plugin_id)
        if child is not None:
            child.signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to the group of every plugin that has a process."""
        for child in self._children.values():
            child.signal(number)

    def reap(self, plugin_id: str) -> tuple[int, ExitStatus]:
        """Return the pid and the status of a process that has ended, after handing on the last that it printed.

        What it had started ends too.
        """
        child = self._children[plugin_id]
        status = child.reap()
        kill_marked(self._marks[plugin_id])
        self._pump.finish(plugin_id)
        del self._children[plugin_id]
        self._poller.remove(child.pidfd)
        child.close()
        self._guard.reaped(child.pid)
        return child.pid, status

    def abandon(self, plugin_id: str) -> None:
        """Wait no more for a process that does not end though it was killed; the guardian keeps it in mind."""
        child = self._children.pop(plugin_id)
        self._pump.finish(plugin_id)
        self._poller.remove(child.pidfd)
        child.close()

    def kill_all(self) -> None:
        """Kill and reap what still runs."""
        with ExitStack() as stack:  # what goes wrong with one of them keeps none of the others alive
            for plugin_id, child in self._children.items():
                child.signal(signal.SIGKILL)
                stack.callback(self.reap, plugin_id)
