"""The processes of the plugins, each with its end on the reactor's poller, and its output in the pump."""

import os
import resource
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.manifest.environment import environment_of
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.built_on import BuiltOn
from malbox_cli.supervisor.cgroups import Cgroups, kill_group, remove
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.kernel_kills import kills_for_memory, why_killed
from malbox_cli.supervisor.launch import Launcher
from malbox_cli.supervisor.limits import settings_of
from malbox_cli.supervisor.log_hub import Say
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import Child, SpawnError, wait_for_end
from malbox_cli.supervisor.start_errors import is_transient
from malbox_cli.supervisor.strays import to_mark
from malbox_cli.supervisor.sweep import Family, Sweeper
from plugin_runtime.environment import ICEORYX2, LOG
from plugin_runtime.wire.log_marks import mark_start

__all__ = ["Children", "Ending"]

LAST_SECONDS = 5.0
"""How long to wait for the end of what was killed: the kernel may hold a process, and then nobody can end it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a plugin's process ended.

    Attributes:
        pid: Which it was.
        status: Its code, or the signal.
        memory_note: What the kernel says of why it was killed, such as for want of memory; empty: nothing.
    """

    pid: int
    status: ExitStatus
    memory_note: str = ""


@dataclass(frozen=True, slots=True)
class _Life:
    """A plugin's process, what it was started with, and how many the kernel had killed for want of memory then."""

    child: Child
    spec: PluginSpec
    instance: str
    group: Path | None
    kills_before: int


def _ignore(plugin_id: str) -> None:
    del plugin_id


class Children:
    """Starts processes and watches them.

    Args:
        poller: Where their ends are watched.
        guard: Who is told of each process, to end it should we be killed.
        launcher: Who makes them.
        nonce: What the run's marks begin with.
        variables: Returns what a plugin's process is told, given its instance.
        pump: Where what they print is read.
        descriptor_limits: The soft and hard limit on open descriptors that a plugin gets; ours are raised.
        say: Takes what an operator should know: a level and a text.
        groups: Our control group, where it was divided up.

    Attributes:
        on_end: Called with a plugin's id when its process has ended, before `reap`.
        on_gone: Called with the instance of a process that is let go of, with everything that it had started.
    """

    def __init__(
        self,
        poller: Poller,
        guard: Guard,
        launcher: Launcher,
        nonce: int,
        variables: Callable[[PluginSpec, str], Mapping[str, str]],
        pump: OutputPump,
        descriptor_limits: tuple[int, int],
        say: Say,
        groups: Cgroups | None = None,
    ) -> None:
        self.on_end: Callable[[str], None] = _ignore
        self.on_gone: Callable[[str], None] = _ignore
        self._poller = poller
        self._guard = guard
        self._launcher = launcher
        self._nonce = nonce
        self._variables = variables
        self._pump = pump
        self._descriptor_limits = descriptor_limits
        self._say = say
        self._groups = groups
        self._spawns = 0
        self._lives: dict[str, _Life] = {}
        self._built_on = BuiltOn()
        self._sweeper = Sweeper(nonce, poller, self._kept, say)

    def get(self, plugin_id: str) -> Child | None:
        """Return a plugin's process, or None."""
        life = self._lives.get(plugin_id)
        return None if life is None else life.child

    def spawn(self, spec: PluginSpec) -> tuple[Child, str]:
        """Start a plugin's process; return it and the nonce that it was given.

        Raises:
            SpawnError: It could not be started.
        """
        instance = secrets.token_hex(8)
        variables = self._variables(spec, instance)
        self._built_on.require(spec.argv[0], variables.get(ICEORYX2, ""))
        environment = environment_of(spec, os.environ, variables)
        settings = settings_of(spec.limits, self._descriptor_limits, lambda number: resource.getrlimit(number)[1])
        kills_before = kills_for_memory()
        group = self._make_group(spec)
        try:
            child = self._launcher.spawn(
                spec, environment, settings, None if group is None else str(group / "cgroup.procs")
            )
        except SpawnError:
            if group is not None:
                remove(group)
            raise
        self._lives[spec.id] = _Life(child, spec, instance, group, kills_before)
        self._guard.spawned(child.pid)
        self._poller.add(child.pidfd, lambda: self.on_end(spec.id))
        self._pump.open(spec.id, child.output, mark_start(variables[LOG]) if LOG in variables else b"")
        return child, instance

    def signal(self, plugin_id: str, number: int) -> None:
        """Send a signal to a plugin's group, if it has a process."""
        child = self.get(plugin_id)
        if child is not None:
            child.signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to the groups of all plugins whose processes live."""
        for life in self._lives.values():
            life.child.signal(number)

    def reap(self, plugin_id: str) -> Ending:
        """Return how a process has ended, after handing on the last that it printed.

        What it had started ends too: nearly always before this returns, else as soon as the kernel lets go of it.
        """
        life = self._lives[plugin_id]
        child = life.child
        family = Family(plugin_id, to_mark(self._nonce, child.number), child.pid, life.instance)
        self._sweeper.reap_ended(family)  # what had ended by itself was not left
        status = child.reap()
        if life.group is not None:
            kill_group(life.group)
        self._sweeper.sweep(family)
        note = ""
        if not child.was_killed:
            note = why_killed(status, life.spec.limits, child.cpu_seconds, life.kills_before, life.group)
        self._let_go(plugin_id)
        return Ending(child.pid, status, note)

    def look_after(self) -> None:
        """Reap what the plugins' processes had started, outlived by it, and ended since, and see to our guardian.

        Does not block.
        """
        if self._guard.look_after():
            self._say("warning", "the guardian, which cleans up if malbox is killed, had ended; it is started again")
        self._sweeper.look_after(to_mark(self._nonce, life.child.number) for life in self._lives.values())

    def abandon(self, plugin_id: str) -> None:
        """Wait no more for a process that does not end though it was killed; whenever it does, it is reaped."""
        self._let_go(plugin_id)

    def kill_all(self) -> None:
        """Kill and reap what still runs, and then everything that is left of the run."""
        self.signal_all(signal.SIGKILL)
        with ExitStack() as stack:  # what goes wrong with one of them keeps none of the others alive
            stack.callback(self._sweeper.end)
            wait_for_end([life.child.pid for life in self._lives.values()], LAST_SECONDS)
            for plugin_id in self._lives:
                stack.callback(self._reap_last, plugin_id)

    def _reap_last(self, plugin_id: str) -> None:
        child = self._lives[plugin_id].child
        if child.has_ended:
            self.reap(plugin_id)
        else:
            self._say("error", f"{plugin_id}: process {child.pid} does not die, the kernel holds it", plugin_id)
            self._let_go(plugin_id)

    def _make_group(self, spec: PluginSpec) -> Path | None:
        if self._groups is None:
            return None
        self._spawns += 1
        try:
            return self._groups.make(spec.id, self._spawns, spec.limits)
        except OSError as error:
            why = f"cannot start {spec.argv[0]}: no control group for it: {error.strerror}"
            raise SpawnError(why, is_transient=is_transient(error.errno)) from error

    def _let_go(self, plugin_id: str) -> None:
        life = self._lives[plugin_id]
        child = life.child
        self._pump.finish(plugin_id)
        if life.group is not None:
            remove(life.group)
        del self._lives[plugin_id]
        self._poller.remove(child.pidfd)
        child.close()
        self._guard.reaped(child.pid)
        self.on_gone(life.instance)

    def _kept(self) -> set[int]:
        """Return which of our children are not for the sweeper: they are reaped otherwise."""
        kept = {life.child.pid for life in self._lives.values()}
        if self._launcher.pid is not None:
            kept.add(self._launcher.pid)
        return kept
