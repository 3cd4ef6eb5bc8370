"""The supervisor's decisions: an event and the time in, a list of actions out. It touches nothing itself."""

import signal
from collections.abc import Iterable
from typing import Literal

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.manifest.units import format_duration
from malbox_cli.supervisor.actions import Action, CleanUp, Say, SendShutdown, Signal, Spawn
from malbox_cli.supervisor.desk import CANCEL_GRACE, TaskDesk
from malbox_cli.supervisor.events import (
    CancelAsked,
    ClientLeft,
    Event,
    KillAsked,
    PluginStarted,
    PluginStopped,
    ProcessExited,
    ResponsesBroken,
    ResultNotStored,
    ResultStored,
    SampleRead,
    SampleUnreadable,
    SendFailed,
    Spawned,
    SpawnFailed,
    StartAsked,
    StopAsked,
    Submit,
    TaskSaid,
    Tick,
)
from malbox_cli.supervisor.plugin_state import PluginEvent, PluginState
from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["Machine"]

Level = Literal["info", "warning", "error"]

LINGER_SECONDS = 2.0
"""How long a process may live on after it said PluginStopped."""

MAX_LAST_LINE = 200
STOPPING = "the supervisor is stopping"


class Machine:
    """Everything that the supervisor knows, and what it decides.

    Args:
        plugins: What to run.
        stop_timeout: Seconds from the word to stop until a plugin is killed.
    """

    def __init__(self, plugins: Iterable[PluginSpec], *, stop_timeout: float) -> None:
        self._plugins = {spec.id: PluginRecord(spec) for spec in plugins}
        self._stop_timeout = stop_timeout
        self._out: list[Action] = []
        self._desk = TaskDesk(self._plugins, self._out)
        self._stopping = False
        self._killing = False

    @property
    def plugins(self) -> tuple[PluginRecord, ...]:
        """The plugins, to look at."""
        return tuple(self._plugins.values())

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping

    @property
    def has_ended(self) -> bool:
        """Whether it was told to stop, and no process and no task is left."""
        nobody_left = all(plugin.has_no_process for plugin in self._plugins.values())
        return self._stopping and nobody_left and self._desk.is_empty

    @property
    def nothing_runs(self) -> bool:
        """Whether every plugin was started and none has a process any more, or is about to get one."""
        return all(plugin.is_gone for plugin in self._plugins.values())

    def next_deadline(self) -> float | None:
        """Return when `Tick` has something to do at the latest; None: never."""
        times = self._desk.deadlines()
        for plugin in self._plugins.values():
            times += plugin.deadlines()
        return min(times, default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide what is to be done about an event.

        Args:
            event: What happened.
            now: The time, in seconds of a clock that never goes back.
        """
        self._decide(event, now)
        actions = self._out[:]
        self._out.clear()
        return actions

    def _decide(self, event: Event, now: float) -> None:
        desk = self._desk
        match event:
            case TaskSaid():
                desk.said(event.piece, now)
            case Submit():
                desk.submit(event, now)
            case SampleRead():
                desk.sample_read(event.task_id, event.sha256, now)
            case SampleUnreadable():
                desk.sample_unreadable(event.task_id, event.error, now)
            case ResultStored():
                desk.stored(event, now)
            case ResultNotStored():
                desk.not_stored(event, now)
            case SendFailed():
                desk.send_failed(event.task_id, event.error, now)
            case ResponsesBroken():
                desk.broken(event.task_id, event.error, now)
            case CancelAsked():
                desk.cancel(event.task_id, "cancelled on request", now)
            case ClientLeft():
                desk.client_left(event.client, now)
            case PluginStarted():
                self._plugin_started(event, now)
            case PluginStopped():
                self._plugin_stopped(event, now)
            case ProcessExited():
                self._process_exited(event, now)
            case StartAsked():
                self._start_all()
            case Spawned():
                self._spawned(event, now)
            case SpawnFailed():
                self._spawn_failed(event, now)
            case StopAsked():
                self._stop(event.reason, now)
            case KillAsked():
                self._kill_all(now)
            case Tick():
                self._tick(now)

    def _say(self, plugin: PluginRecord, text: str, level: Level = "info") -> None:
        self._out.append(Say(level, f"{plugin.id}: {text}", plugin.id))

    def _start_all(self) -> None:
        for plugin in self._plugins.values():
            if plugin.state is PluginState.PENDING and not plugin.spawning:
                self._spawn(plugin)

    def _spawn(self, plugin: PluginRecord) -> None:
        plugin.spawning = True
        self._out.append(Spawn(plugin.id))

    def _spawned(self, event: Spawned, now: float) -> None:
        plugin = self._plugins[event.plugin_id]
        plugin.move(PluginEvent.SPAWNED, "waiting for PluginStarted", now)
        plugin.pid, plugin.instance, plugin.spawned_at = event.pid, event.instance, now
        plugin.hello = plugin.ready_at = plugin.doom = plugin.term_at = plugin.kill_at = None
        plugin.said_stopped = plugin.respawn = plugin.spawning = False
        if self._killing:
            self._kill(plugin, now)
        elif self._stopping:
            self._stop_plugin(plugin, now)

    def _spawn_failed(self, event: SpawnFailed, now: float) -> None:
        plugin = self._plugins[event.plugin_id]
        plugin.spawning = False
        plugin.move(PluginEvent.SPAWN_FAILED, event.error, now)
        self._say(plugin, event.error, "error")
        self._desk.plugin_ended(plugin, f"could not be started ({event.error})", now, keep_queue=False)

    def _plugin_started(self, event: PluginStarted, now: float) -> None:
        plugin = self._plugins[event.plugin_id]
        stale = event.hello is not None and bool(event.hello.instance) and event.hello.instance != plugin.instance
        if event.is_ours and not stale and (plugin.state is PluginState.STOPPING or plugin.doom is not None):
            return  # it got ready just when it was told to end
        if not event.is_ours or stale or plugin.state is not PluginState.STARTING:
            self._say(plugin, f"ignored PluginStarted of process {event.pid} while {plugin.state.value}", "warning")
            return
        plugin.move(PluginEvent.STARTED, "it takes tasks", now)
        plugin.hello, plugin.ready_at, plugin.said_stopped = event.hello, now, False
        assert plugin.spawned_at is not None
        self._say(plugin, f"READY after {now - plugin.spawned_at:.2f} s (process {plugin.pid})")
        self._desk.dispatch(plugin, now)

    def _plugin_stopped(self, event: PluginStopped, now: float) -> None:
        plugin = self._plugins[event.plugin_id]
        if not event.is_ours or plugin.state.is_over:
            return
        first, plugin.said_stopped = not plugin.said_stopped, True
        if first and plugin.state is not PluginState.STARTING and plugin.doom is None:
            plugin.set_ladder(now + LINGER_SECONDS, now + LINGER_SECONDS + self._stop_timeout / 2)

    def _process_exited(self, event: ProcessExited, now: float) -> None:
        plugin = self._plugins[event.plugin_id]
        if event.pid != plugin.pid:
            return
        how = str(event.status)
        in_order = event.status.is_success and (plugin.said_stopped or plugin.state is PluginState.STOPPING)
        was_ready = plugin.state is PluginState.READY
        if plugin.doom is not None:
            why = plugin.doom
        elif plugin.state is PluginState.STARTING:
            why = f"{how} before it was ready"
        elif in_order or not event.status.is_success:
            why = how
        else:
            why = f"{how} without saying PluginStopped"
        last_line = next((line for line in reversed(event.last_lines) if line.strip()), "")
        if plugin.state is PluginState.STARTING and last_line:
            why += f"; it last printed: {last_line[:MAX_LAST_LINE]}"
        stopping = plugin.state is PluginState.STOPPING
        # What was told to stop by SIGTERM may just die of it; a plugin without a handler for it does.
        in_peace = in_order or (stopping and plugin.doom is None and event.status.signal == signal.SIGTERM)
        plugin.move(PluginEvent.ENDED_IN_ORDER if in_order else PluginEvent.DIED, why, now)
        plugin.pid, plugin.last_exit = None, event.status
        plugin.term_at = plugin.kill_at = None
        if stopping and in_peace:
            self._say(plugin, "stopped")
        else:
            self._say(plugin, why, "info" if was_ready and in_order else "error")
        respawn, plugin.respawn = plugin.respawn and not self._stopping, False
        self._desk.plugin_ended(plugin, why, now, keep_queue=respawn)
        self._out.append(CleanUp(plugin.id, event.pid))
        if respawn:
            plugin.restarts += 1
            self._spawn(plugin)

    def _stop(self, reason: str, now: float) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._out.append(Say("info", f"stopping: {reason}"))
        self._desk.close(STOPPING, now)
        self._out.append(SendShutdown())
        for plugin in self._plugins.values():
            self._stop_plugin(plugin, now)

    def _stop_plugin(self, plugin: PluginRecord, now: float) -> None:
        if plugin.is_gone:
            return
        # A process that does not listen to the event channel yet hears of the end only through a signal.
        listens = plugin.state is PluginState.READY
        plugin.respawn = False
        plugin.move(PluginEvent.STOP_ASKED, "told to stop", now)
        if plugin.state is PluginState.STOPPING:
            half = self._stop_timeout / 2
            plugin.set_ladder(now + half if listens else now, now + self._stop_timeout)
            if not listens:
                self._climb(plugin, now)

    def _kill_all(self, now: float) -> None:
        self._killing = True
        self._stop("killed on request", now)
        for plugin in self._plugins.values():
            if not plugin.state.is_over:
                self._kill(plugin, now)

    def _kill(self, plugin: PluginRecord, now: float) -> None:
        plugin.move(PluginEvent.STOP_ASKED, "told to stop", now)
        plugin.doom = plugin.doom or "was killed on request"
        plugin.kill_at = now
        self._climb(plugin, now)

    def _tick(self, now: float) -> None:
        for plugin_id in self._desk.tick(now):
            plugin = self._plugins[plugin_id]
            if plugin.takes_tasks:  # otherwise it is told to end anyway, and its ladder ends it
                plugin.doom = (
                    f"was killed because its task had to end, and did not within {format_duration(CANCEL_GRACE)}"
                )
                plugin.respawn = True
                plugin.kill_at = now
        for plugin in self._plugins.values():
            self._check_start(plugin, now)
            self._climb(plugin, now)

    def _check_start(self, plugin: PluginRecord, now: float) -> None:
        if plugin.state is not PluginState.STARTING or plugin.doom is not None or plugin.spawned_at is None:
            return
        if plugin.spawned_at + plugin.spec.start_timeout <= now:
            plugin.doom = f"did not get ready within {format_duration(plugin.spec.start_timeout)} (start_timeout)"
            plugin.kill_at = now

    def _climb(self, plugin: PluginRecord, now: float) -> None:
        """Send the signals whose time has come."""
        if plugin.state.is_over:
            return
        if plugin.kill_at is not None and plugin.kill_at <= now:
            plugin.kill_at = plugin.term_at = None
            if plugin.doom is None:
                plugin.doom = f"was killed because it did not end within {self._patience(plugin)}"
            self._say(plugin, "killing it", "warning")
            self._out.append(Signal(plugin.id, signal.SIGKILL))
        elif plugin.term_at is not None and plugin.term_at <= now:
            plugin.term_at = None
            self._out += [Signal(plugin.id, signal.SIGTERM), Signal(plugin.id, signal.SIGCONT)]

    def _patience(self, plugin: PluginRecord) -> str:
        if plugin.state is PluginState.STOPPING:
            return f"{format_duration(self._stop_timeout)} (stop_timeout)"
        return f"{format_duration(LINGER_SECONDS + self._stop_timeout / 2)} of saying PluginStopped"
