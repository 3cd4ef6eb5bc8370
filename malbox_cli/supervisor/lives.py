"""The lives of the plugins: started when those that they need are READY, watched, stopped, and started again."""

from collections.abc import Callable, Iterable

from malbox_cli.manifest.units import format_duration
from malbox_cli.supervisor.actions import Action, AskHealth, AskStop, Say, SendShutdown, Spawn
from malbox_cli.supervisor.demand import is_done, is_wanted
from malbox_cli.supervisor.dependencies import before, blocker, dependents, what_it_waits_for
from malbox_cli.supervisor.desk import TaskDesk
from malbox_cli.supervisor.endings import Endings
from malbox_cli.supervisor.events import HealthSaid, PluginStarted, PluginStopped, ProcessExited, Spawned, SpawnFailed
from malbox_cli.supervisor.ladder import Ladder
from malbox_cli.supervisor.plugin_state import PluginEvent, PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.vitals import Vitals
from plugin_runtime.environment import PROTOCOL_VERSION

__all__ = ["Lives"]

ON_REQUEST = "stopped on request"


class Lives:
    """The plugins of one supervisor. Every method appends what is to be done to `out`.

    Args:
        plugins: The plugins by id; those that leave are taken out.
        out: Where the actions go.
        desk: Their tasks.
        stop_timeout: Seconds from the word to stop until a plugin is killed.
        jitter: Returns a number from 0 to 1 that nobody can foresee.

    Attributes:
        ladder: How their processes are ended.
        is_ending: Whether the supervisor ends: nothing is started any more.
    """

    def __init__(
        self,
        plugins: dict[str, PluginRecord],
        out: list[Action],
        desk: TaskDesk,
        stop_timeout: float,
        jitter: Callable[[], float],
    ) -> None:
        self.is_ending = False
        self.ladder = Ladder(out, stop_timeout)
        self._plugins = plugins
        self._out = out
        self._desk = desk
        self._endings = Endings(out, desk, jitter)
        self._is_killing = False

    # Starting.

    def start(self, plugin_ids: Iterable[str] | None, now: float) -> None:
        """Start plugins and those that they need; None for all that were not started yet.

        What an operator asks for by name begins anew, whatever happened before.
        """
        if self.is_ending:
            return
        if plugin_ids is not None:
            asked = set(plugin_ids)
            for plugin_id in before(asked, self._plugins):
                self._want(self._plugins[plugin_id], now, by_name=plugin_id in asked)
        self.start_what_can(now)

    def _want(self, plugin: PluginRecord, now: float, *, by_name: bool) -> None:
        if by_name:
            plugin.restarts.forget()
        if plugin.state is PluginState.STOPPING or plugin.to_stop:
            plugin.comes_back = True
        elif not plugin.state.has_process and not plugin.spawning and plugin.state is not PluginState.PENDING:
            plugin.move(PluginEvent.START_ASKED, "is to be started", now)
            plugin.retry_at = None

    def start_what_can(self, now: float) -> None:
        """Start every plugin whose turn it is, and skip those whose turn will never come."""
        if self.is_ending:
            return
        again = True
        while again:  # one that is skipped may be what another one waits for
            again = False
            for plugin in self._plugins.values():
                if plugin.spawning or plugin.leaves:
                    continue
                if plugin.state is PluginState.BACKOFF and plugin.retry_at is not None and plugin.retry_at <= now:
                    plugin.retry_at = None
                    if not plugin.was_due and not plugin.is_on_demand:
                        self._spawn(plugin, now)
                        continue
                    plugin.move(PluginEvent.START_ASKED, "is to be started", now)
                if plugin.state is PluginState.IDLE and is_wanted(plugin, self._desk.board):
                    plugin.move(PluginEvent.START_ASKED, "is to be started", now)
                if plugin.state is PluginState.PENDING:
                    again |= self._start_or_skip(plugin, now)

    def _start_or_skip(self, plugin: PluginRecord, now: float) -> bool:
        """Start a plugin that waits, if it can be; return whether another one may have to know that it was not."""
        if (why := blocker(plugin, self._plugins)) is not None:
            plugin.move(PluginEvent.SKIPPED, f"was not started: {why}", now)
            self._out.append(Say("error", f"{plugin.id}: {plugin.reason}", plugin.id))
            self._desk.plugin_ended(plugin, plugin.reason, now)
            return True
        if plugin.is_on_demand and not is_wanted(plugin, self._desk.board):
            plugin.move(PluginEvent.NOT_NEEDED, "has no process until there is a task for it", now)
            return True  # for those that wait for it, it is as good as READY
        if waits := what_it_waits_for(plugin, self._plugins):
            plugin.reason = "waits for " + ", ".join(f"{other.id} ({other.standing.value})" for other in waits)
        else:
            self._spawn(plugin, now)
        return False

    def _spawn(self, plugin: PluginRecord, now: float) -> None:
        plugin.spawning = True
        plugin.restarts.started(now)
        self._out.append(Spawn(plugin.id, plugin.spec))

    def spawned(self, event: Spawned, now: float) -> None:
        """Take note of a new process."""
        plugin = self._plugins[event.plugin_id]
        to_stop = plugin.state.is_over
        if to_stop:  # it was told to stop while its process was on its way
            plugin.move(PluginEvent.START_ASKED, "is to be started", now)
        plugin.move(PluginEvent.SPAWNED, "was started, and has not said yet that it is ready", now)
        plugin.has_process_of(event.pid, event.instance, now)
        if self._is_killing:
            self.kill_one(plugin, now)
        elif self.is_ending or to_stop:
            self._tell([plugin], "told to stop", now)
        self.start_what_can(now)  # those that wait say for whom, and how that one stands

    def spawn_failed(self, event: SpawnFailed, now: float) -> None:
        """Take note of a process that could not be started."""
        self._endings.not_started(self._plugins[event.plugin_id], event, now, may_come_back=not self.is_ending)
        self.start_what_can(now)

    # Being up.

    def plugin_started(self, event: PluginStarted, now: float) -> None:
        """Take the word of a plugin that it is ready; of its own process only."""
        plugin = self._plugins[event.plugin_id]
        hello = event.hello
        stale = hello is not None and bool(hello.instance) and hello.instance != plugin.instance
        if event.is_ours and not stale and (plugin.state is PluginState.STOPPING or plugin.doom is not None):
            return  # it got ready just when it was told to end
        if not event.is_ours or stale or plugin.state is not PluginState.STARTING:
            text = f"{plugin.id}: ignored PluginStarted of process {event.pid} while {plugin.state.value}"
            self._out.append(Say("warning", text, plugin.id))
            return
        if hello is not None and hello.protocol != PROTOCOL_VERSION:
            plugin.is_unfit = True
            versions = f"version {hello.protocol} of the protocol, and malbox version {PROTOCOL_VERSION}"
            self.ladder.kill_now(plugin, f"speaks {versions}: install a release that goes with this malbox", now)
            return
        plugin.move(PluginEvent.STARTED, "it takes tasks", now)
        plugin.hello, plugin.ready_at, plugin.said_stopped = hello, now, False
        spec = plugin.spec
        plugin.vitals = Vitals.begin(
            spec.health_interval if plugin.knows("health") else None,
            spec.heartbeat if plugin.knows("heartbeat") else None,
            now,
        )
        assert plugin.spawned_at is not None
        text = f"{plugin.id}: READY after {now - plugin.spawned_at:.2f} s (process {plugin.pid})"
        self._out.append(Say("info", text, plugin.id))
        if spec.heartbeat is not None and not plugin.knows("heartbeat"):
            text = f"{plugin.id}: heartbeat is set for it, and it does not know how to beat; it is not watched for that"
            self._out.append(Say("warning", text, plugin.id))
        self._desk.dispatch(plugin, now)
        self.start_what_can(now)

    def plugin_stopped(self, event: PluginStopped, now: float) -> None:
        """Take the word of a plugin that it is about to end."""
        plugin = self._plugins[event.plugin_id]
        if not event.is_ours or not plugin.state.has_process:
            return
        first, plugin.said_stopped = not plugin.said_stopped, True
        if first and plugin.state is not PluginState.STARTING and plugin.doom is None:
            self.ladder.linger(plugin, now)

    def health_said(self, event: HealthSaid, now: float) -> None:
        """Take what a plugin says of its health."""
        plugin = self._plugins[event.plugin_id]
        plugin.vitals.answered(event.level, event.reason)
        self._show_health(plugin, now)

    def beat(self, plugin_id: str, now: float) -> None:
        """Take a beat of a plugin's loop."""
        plugin = self._plugins.get(plugin_id)
        if plugin is None:
            return  # the last beat of one that has left
        was_silent = bool(plugin.vitals.silence)
        plugin.vitals.beat(now)
        if was_silent:
            self._show_health(plugin, now)
            self._desk.dispatch(plugin, now)

    def _show_health(self, plugin: PluginRecord, now: float) -> None:
        """Bring a plugin's state in line with what is wrong with it."""
        problem = plugin.vitals.problem
        if not plugin.state.is_up or plugin.doom is not None or plugin.to_stop:
            return
        if problem and plugin.reason != problem:
            plugin.move(PluginEvent.WORSENED, problem, now)
            self._out.append(Say("warning", f"{plugin.id}: DEGRADED: {problem}", plugin.id))
        elif not problem and plugin.state is PluginState.DEGRADED:
            plugin.move(PluginEvent.RECOVERED, "it takes tasks", now)
            self._out.append(Say("info", f"{plugin.id}: READY again", plugin.id))

    # Ending.

    def exited(self, event: ProcessExited, now: float) -> None:
        """Decide what comes after a process that has ended."""
        plugin = self._plugins[event.plugin_id]
        if event.pid != plugin.pid:
            return
        self._endings.take(plugin, event, now, may_come_back=not self.is_ending)
        self.tell_those_whose_turn_it_is(now)
        self.start_what_can(now)

    def stop(self, plugin_ids: Iterable[str], now: float) -> None:
        """Stop plugins because an operator wants that: they do not come back by themselves."""
        for plugin_id in plugin_ids:
            plugin = self._plugins[plugin_id]
            plugin.comes_back = False
            self._mark_to_stop(plugin, ON_REQUEST, now)
        self.tell_those_whose_turn_it_is(now)
        self.start_what_can(now)

    def restart(self, plugin_ids: Iterable[str], now: float) -> None:
        """Stop plugins, and start them again once they have ended; those without a process are started."""
        if self.is_ending:
            return
        asked = list(plugin_ids)
        for plugin_id in asked:
            plugin = self._plugins[plugin_id]
            plugin.restarts.forget()
            if plugin.state.has_process:
                plugin.comes_back = True
                self._mark_to_stop(plugin, "restarted on request", now)
        self.tell_those_whose_turn_it_is(now)
        self.start((plugin_id for plugin_id in asked if not self._plugins[plugin_id].to_stop), now)

    def stop_all(self, now: float) -> None:
        """Stop every plugin, those first that come after others; nothing is started any more."""
        self.is_ending = True
        for plugin in self._plugins.values():
            plugin.comes_back = False
            self._mark_to_stop(plugin, "told to stop", now)
        self.tell_those_whose_turn_it_is(now)

    def kill_all(self, now: float) -> None:
        """Kill every process at once."""
        self._is_killing = True
        for plugin in self._plugins.values():
            if plugin.state.has_process:
                self.kill_one(plugin, now)

    def kill_one(self, plugin: PluginRecord, now: float) -> None:
        """Kill a plugin because an operator wants that."""
        plugin.to_stop = False
        plugin.move(PluginEvent.STOP_ASKED, "told to stop", now)
        self.ladder.kill_now(plugin, "was killed on request", now)

    def _mark_to_stop(self, plugin: PluginRecord, why: str, now: float) -> None:
        if plugin.state.has_process:
            if plugin.state is not PluginState.STOPPING:
                plugin.to_stop = True
                plugin.reason = f"is {why} once those that come after it have ended"
                self._desk.interrupt(plugin, f"plugin {plugin.id} is {why}", now)
        elif not plugin.state.is_over:
            plugin.move(PluginEvent.STOP_ASKED, why, now)
            plugin.retry_at = None
            if not plugin.spawning:
                self._desk.plugin_ended(plugin, f"was {why}", now)

    def tell_those_whose_turn_it_is(self, now: float) -> None:
        """Tell those to stop that are to, and that nobody who stops too comes after."""
        wave = [
            plugin
            for plugin in self._plugins.values()
            if plugin.to_stop
            and not any(
                other.to_stop or other.state is PluginState.STOPPING for other in dependents(plugin, self._plugins)
            )
        ]
        if wave:
            self._tell(wave, "told to stop", now)

    def _tell(self, wave: list[PluginRecord], why: str, now: float) -> None:
        for plugin in wave:
            plugin.to_stop = False
        # The word to all reaches those too that come later: it is said when nobody does.
        to_all = self.is_ending and not any(plugin.to_stop for plugin in self._plugins.values())
        if to_all and any(plugin.state.is_up for plugin in wave):
            self._out.append(SendShutdown())
        for plugin in wave:
            # A process that does not listen to the event channel yet hears of the end only through a signal.
            listens = plugin.state.is_up and (to_all or plugin.knows("stop"))
            if listens and not to_all:
                self._out.append(AskStop(plugin.id))
            plugin.move(PluginEvent.STOP_ASKED, why, now)
            self.ladder.begin(plugin, now, listens=listens)

    # Those that have a process only while there is something to do.

    def look_at_demand(self, now: float) -> None:
        """Start processes for the tasks that there are, and stop those that have nothing to do any more."""
        if self.is_ending:
            return
        for plugin in self._plugins.values():
            idles = plugin.is_on_demand and plugin.takes_tasks and not plugin.leaves
            if idles and is_done(plugin, self._desk.board):
                plugin.comes_back = True
                self._mark_to_stop(plugin, "stopped until there is a task for it", now)
        self.tell_those_whose_turn_it_is(now)
        if any(plugin.is_idle and is_wanted(plugin, self._desk.board) for plugin in self._plugins.values()):
            self.start_what_can(now)

    # Time.

    def tick(self, now: float) -> None:
        """Do what is due."""
        for plugin_id in self._desk.tick(now):
            plugin = self._plugins[plugin_id]
            if plugin.takes_tasks:  # otherwise it is told to end anyway, and its ladder ends it
                plugin.comes_back = True
                grace = format_duration(plugin.spec.cancel_grace)
                self.ladder.kill_now(plugin, f"was killed because its task had to end, and did not within {grace}", now)
        for plugin in list(self._plugins.values()):
            self._check_start(plugin, now)
            self._check_vitals(plugin, now)
            self.ladder.climb(plugin, now)
            if plugin.give_up_at is not None and plugin.give_up_at <= now:
                self._endings.give_up(plugin, now)
                self.tell_those_whose_turn_it_is(now)
        self.start_what_can(now)

    def _check_start(self, plugin: PluginRecord, now: float) -> None:
        if plugin.state is not PluginState.STARTING or plugin.doom is not None or plugin.spawned_at is None:
            return
        if plugin.spawned_at + plugin.spec.start_timeout <= now:
            timeout = format_duration(plugin.spec.start_timeout)
            self.ladder.kill_now(plugin, f"did not get ready within {timeout} (start_timeout)", now)

    def _check_vitals(self, plugin: PluginRecord, now: float) -> None:
        if not plugin.state.is_up or plugin.doom is not None:
            return
        if plugin.vitals.tick(now, is_busy=bool(plugin.running)):
            self._out.append(AskHealth(plugin.id))
        self._show_health(plugin, now)
        if plugin.vitals.is_dead(now):
            self._out.append(Say("error", f"{plugin.id}: aborting it: {plugin.vitals.silence}", plugin.id))
            self.ladder.abort(plugin, f"was aborted: {plugin.vitals.silence}", now)
