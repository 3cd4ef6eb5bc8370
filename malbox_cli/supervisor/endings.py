"""What comes after a plugin's process has ended: a state with its reason, and perhaps another start."""

import shlex
import signal
from collections.abc import Callable, Sequence

from malbox_cli.manifest.secrets import hide_in_argv
from malbox_cli.manifest.units import format_duration
from malbox_cli.supervisor.actions import Abandon, Action, CleanUp, Say
from malbox_cli.supervisor.desk import TaskDesk
from malbox_cli.supervisor.diagnosis import explain
from malbox_cli.supervisor.events import ProcessExited, SpawnFailed
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.plugin_state import PluginEvent, PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.restart import MAX_STARTS, START_WINDOW_SECONDS, wants_restart

__all__ = ["EXIT_MISMATCH", "Endings"]

EXIT_MISMATCH = 78
"""What a plugin exits with before PluginStarted whose iceoryx2 is of another release than ours."""

MAX_COMMAND = 200
"""Of a command line in a reason: the rest is in `up --dry-run`."""
MAX_LAST_LINE = 200


class Endings:
    """Decides about processes that have ended. Every method appends what is to be done to `out`.

    Args:
        out: Where the actions go.
        desk: The plugins' tasks.
        jitter: Returns a number from 0 to 1 that nobody can foresee.
    """

    def __init__(self, out: list[Action], desk: TaskDesk, jitter: Callable[[], float]) -> None:
        self._out = out
        self._desk = desk
        self._jitter = jitter

    def take(self, plugin: PluginRecord, event: ProcessExited, now: float, *, may_come_back: bool) -> None:
        """Decide what comes after a process that has ended.

        Args:
            plugin: Whose process.
            event: How it ended.
            now: The time.
            may_come_back: Whether anything may be started at all.
        """
        status, was = event.status, plugin.state
        stopping = was is PluginState.STOPPING
        is_success = status.code is not None and status.code in plugin.spec.success_exit_codes
        in_order = is_success and (stopping or (was.is_up and plugin.said_stopped and plugin.doom is None))
        killed_for = plugin.doom
        how, why = self._why(plugin, event, now, is_success=is_success)
        # What was told to stop by SIGTERM may just die of it; a plugin without a handler for it does.
        in_peace = in_order or (stopping and plugin.doom is None and status.signal == signal.SIGTERM)
        if status.signal is not None and not in_peace:
            plugin.killed = plugin.killed or why
        if plugin.ready_at is not None:
            plugin.restarts.was_ready(now - plugin.ready_at)
        may_come_back = may_come_back and not plugin.leaves and (plugin.comes_back or not plugin.to_stop)
        comes_back = may_come_back and self._come_back(plugin, status, why, now, in_order=in_order)
        if not comes_back and plugin.state is was:  # otherwise it has FAILED because it was started too often
            reason = f"was told to stop, and {why}" if stopping and in_peace else why
            plugin.move(PluginEvent.ENDED_IN_ORDER if in_order else PluginEvent.DIED, reason, now)
        self._forget_process(plugin)
        plugin.last_exit, plugin.last_lines = status, event.last_lines
        if stopping and in_peace:
            self._say(plugin, "stopped")
        else:
            what = why if stopping or plugin.state is PluginState.PENDING else plugin.reason
            self._say(plugin, what, "info" if in_order else "error")
        if was is PluginState.STARTING and killed_for and plugin.state is PluginState.FAILED:
            self._say_last_lines(plugin)  # they were printed a while ago
        self._desk.plugin_ended(plugin, how, now)
        self._out.append(CleanUp(plugin.id, event.pid))

    def not_started(self, plugin: PluginRecord, event: SpawnFailed, now: float, *, may_come_back: bool) -> None:
        """Decide what comes after a process that could not be started.

        Args:
            plugin: Whose process.
            event: Why not.
            now: The time.
            may_come_back: Whether anything may be started at all.
        """
        plugin.spawning = False
        plugin.take_next_spec()
        plugin.last_lines = ()  # they are those of a process before
        why = event.error
        if not plugin.state.is_over:
            if event.is_transient and may_come_back and not plugin.leaves and plugin.spec.restart != "no":
                self._wait_for_the_next(plugin, event.error, PluginEvent.SPAWN_FAILED, now)
            else:
                plugin.move(PluginEvent.SPAWN_FAILED, event.error, now)
            why = plugin.reason
        self._say(plugin, why, "error")
        self._desk.plugin_ended(plugin, f"could not be started ({event.error})", now)

    def give_up(self, plugin: PluginRecord, now: float) -> None:
        """Wait no more for a process that not even SIGKILL ends."""
        why = f"process {plugin.pid} does not end though it was killed: the kernel does not let go of it"
        plugin.killed = plugin.killed or why
        plugin.move(PluginEvent.DIED, why, now)
        self._forget_process(plugin)
        self._say(plugin, why, "error")
        self._desk.plugin_ended(plugin, "could not be ended", now)
        self._out.append(Abandon(plugin.id))

    def _come_back(self, plugin: PluginRecord, status: ExitStatus, why: str, now: float, *, in_order: bool) -> bool:
        """Decide whether a plugin is started again, and if so bring it to where it waits for that."""
        if plugin.state is PluginState.STOPPING or plugin.to_stop:
            if plugin.comes_back:
                plugin.move(PluginEvent.ENDED_IN_ORDER if in_order else PluginEvent.DIED, why, now)
                plugin.move(PluginEvent.START_ASKED, "is to be started again", now)
                plugin.restarts.count += not plugin.is_on_demand
            return plugin.comes_back
        if plugin.comes_back or (plugin.is_on_demand and plugin.running):
            # It did what it ended for because of one task, so that its starts say nothing of it.
            plugin.restarts.forget()
            self._back_off(plugin, why, 0.0, now)
            plugin.restarts.count += 1
            return True
        is_unfit = plugin.is_unfit or (plugin.state is PluginState.STARTING and status.code == EXIT_MISMATCH)
        if is_unfit or not wants_restart(plugin.spec, status, in_order=in_order):
            return False
        if not self._wait_for_the_next(plugin, why, PluginEvent.DIED, now):
            return False
        plugin.restarts.count += 1
        return True

    def _wait_for_the_next(self, plugin: PluginRecord, why: str, failed: PluginEvent, now: float) -> bool:
        """Let a plugin wait for its next start; return False where it was started too often, and now has `failed`."""
        delay = plugin.restarts.next_delay(self._jitter())
        if plugin.restarts.is_at_limit(now + delay):
            window = format_duration(START_WINDOW_SECONDS)
            limit = f"start-limit: {MAX_STARTS} starts within {window} did not help"
            plugin.move(failed, f"{why}; {limit}; try again with `malbox start {plugin.id}`", now)
            return False
        self._back_off(plugin, why, delay, now)
        return True

    def _back_off(self, plugin: PluginRecord, why: str, delay: float, now: float) -> None:
        again = f"it is started again in {delay:.1f} s" if delay else "it is started again"
        plugin.was_due = plugin.state is PluginState.PENDING
        plugin.move(PluginEvent.RESTART_DUE, f"{why}; {again}", now)
        plugin.retry_at = now + delay

    def _why(self, plugin: PluginRecord, event: ProcessExited, now: float, *, is_success: bool) -> tuple[str, str]:
        """Return how the process ended, in short for its task, and with what to do about it."""
        how = str(event.status)
        if plugin.doom is not None and not (is_success and plugin.state is PluginState.STOPPING):
            return plugin.doom, plugin.doom
        if plugin.state is PluginState.STOPPING:
            return how, how
        if is_success and plugin.state.is_up:
            how += "" if plugin.said_stopped else " without saying PluginStopped"
            return how, how
        full = explain(
            event.status,
            seconds=now - plugin.spawned_at if plugin.spawned_at is not None else 0.0,
            was_ready=plugin.state.is_up,
            program=_shown(plugin.spec.argv),
            limits=plugin.spec.limits,
            memory_note=event.memory_note,
            last_lines=event.last_lines,
        )
        if plugin.state.is_up:
            return (f"{how}, {event.memory_note}" if event.memory_note else how), full
        last_line = next((line for line in reversed(event.last_lines) if line.strip()), "")
        printed = f"; it last printed: {last_line[:MAX_LAST_LINE]}" if last_line else ""
        return f"{how} before it was ready{printed}", full + printed

    def _forget_process(self, plugin: PluginRecord) -> None:
        plugin.take_next_spec()
        plugin.pid = None
        plugin.doom = None
        plugin.comes_back = plugin.to_stop = False
        plugin.clear_ladder()

    def _say(self, plugin: PluginRecord, text: str, level: str = "info") -> None:
        self._out.append(Say("error" if level == "error" else "info", f"{plugin.id}: {text}", plugin.id))

    def _say_last_lines(self, plugin: PluginRecord) -> None:
        if plugin.last_lines:
            self._say(plugin, f"the last {len(plugin.last_lines)} line(s) that it printed:", "error")
        for line in plugin.last_lines:
            self._say(plugin, f"  {line}", "error")


def _shown(argv: Sequence[str]) -> str:
    command = shlex.join(hide_in_argv(argv))
    return command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 1]}…"
