"""The supervisor's decisions: an event and the time in, a list of actions out. It touches nothing itself."""

from collections.abc import Callable, Iterable

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.actions import Action, Adopt, Changed, Forget, Say, SendConfigReloaded
from malbox_cli.supervisor.desk import TaskDesk
from malbox_cli.supervisor.events import (
    Beat,
    CancelAsked,
    ClientLeft,
    Event,
    FollowAsked,
    HealthSaid,
    IdsReserved,
    KillAsked,
    LedgerStuck,
    LedgerWell,
    PluginsAsked,
    PluginStarted,
    PluginStopped,
    ProcessExited,
    Reloaded,
    ResponsesBroken,
    ResultNotStored,
    ResultStored,
    SampleRead,
    SamplesChecked,
    SampleUnreadable,
    SendFailed,
    Spawned,
    SpawnFailed,
    StartAsked,
    StopAsked,
    Submit,
    TaskSaid,
    TasksRecovered,
    Tick,
)
from malbox_cli.supervisor.ladder import outlook
from malbox_cli.supervisor.lives import Lives
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.recovery import recover
from malbox_cli.supervisor.reload import difference

__all__ = ["Machine"]

REPORT_SECONDS = 2.0
"""How often the operator is told who a stop waits for."""

STORE_SECONDS = 10.0
"""How long the end waits for results on their way to disk once no plugin is left: a disk may never answer."""

STOPPING = "the supervisor is stopping"


class Machine:
    """Everything that the supervisor knows, and what it decides.

    Args:
        plugins: What to run.
        stop_timeout: Seconds from the word to stop until a plugin is killed.
        jitter: Returns a number from 0 to 1 that nobody can foresee.
        keeps_tasks: Whether a supervisor after this one takes up the tasks that it leaves.
    """

    def __init__(
        self,
        plugins: Iterable[PluginSpec],
        *,
        stop_timeout: float,
        jitter: Callable[[], float],
        keeps_tasks: bool = True,
    ) -> None:
        self._plugins = {spec.id: PluginRecord(spec) for spec in plugins}
        self._out: list[Action] = []
        self._desk = TaskDesk(self._plugins, self._out, keeps_tasks=keeps_tasks)
        self._lives = Lives(self._plugins, self._out, self._desk, stop_timeout, jitter)
        self._are_leaving = False
        self._has_on_demand = self._any_is_on_demand()
        self._departed: PluginRecord | None = None
        self._report_at: float | None = None
        self._store_until: float | None = None

    @property
    def plugins(self) -> tuple[PluginRecord, ...]:
        """The plugins, to look at."""
        return tuple(self._plugins.values())

    @property
    def to_judge(self) -> tuple[PluginRecord, ...]:
        """By whom a supervisor's end is judged: the plugins, and one that was killed before it left, if any."""
        return self.plugins if self._departed is None else (*self.plugins, self._departed)

    @property
    def unused_ids(self) -> range:
        """The numbers that were reserved for tasks last and that no task has."""
        return self._desk.unused_ids

    def plugin_of_task(self, task_id: int) -> str | None:
        """Return the plugin, by its name in the manifest, of an open task; None: there is no such task."""
        task = self._desk.board.tasks.get(task_id)
        return None if task is None else task.plugin

    def queued(self, plugin: PluginRecord) -> int:
        """Return how many tasks wait for a plugin, which all its processes share."""
        return self._desk.board.pools[plugin.spec.pool].load

    def plugin(self, plugin_id: str) -> PluginRecord | None:
        """Return the plugin of this id, to look at; None if there is none any more."""
        return self._plugins.get(plugin_id)

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._lives.is_ending

    @property
    def has_ended(self) -> bool:
        """Whether it was told to stop, and no process and no task is left."""
        nobody_left = all(plugin.has_no_process for plugin in self._plugins.values())
        return self._lives.is_ending and nobody_left and self._desk.is_empty

    @property
    def nothing_runs(self) -> bool:
        """Whether no plugin has a process any more, or will get one by itself."""
        return all(plugin.is_gone for plugin in self._plugins.values())

    def next_deadline(self) -> float | None:
        """Return when `Tick` has something to do at the latest; None: never."""
        times = self._desk.deadlines()
        for plugin in self._plugins.values():
            times += plugin.deadlines()
        times += [time for time in (self._report_at, self._store_until) if time is not None]
        return min(times, default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide what is to be done about an event.

        Args:
            event: What happened.
            now: The time, in seconds of a clock that never goes back.
        """
        # What is said of tasks moves no plugin, but for those that have a process only for a task; the last one may let
        # a plugin go.
        is_about_task = self._decide_about_task(event, now)
        if not is_about_task or self._are_leaving or self._has_on_demand:
            before = self._standings()
            if not is_about_task:
                self._decide_about_plugins(event, now)
            if self._has_on_demand:
                self._lives.look_at_demand(now)
            self._let_go_of_those_that_left()
            after = self._standings()
            # Before all else: cleaning up after a process, for one, takes ten times as long as saying that it ended.
            self._out[:0] = [Changed(each) for each in before | after if before.get(each) != after.get(each)]
        if self._lives.is_ending or self._report_at is not None:
            self._watch_the_stop(now)
        actions = self._out[:]
        self._out.clear()
        return actions

    def _decide_about_task(self, event: Event, now: float) -> bool:
        """Decide about an event of a task; return whether it was one."""
        desk = self._desk
        match event:
            case TaskSaid():
                desk.said(event.piece, now)
            case Submit():
                desk.submit(event, now)
            case SampleRead():
                desk.sample_read(event, now)
            case SamplesChecked():
                desk.samples_checked(event, now)
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
            case FollowAsked():
                desk.follow(event.client, event.task_id)
            case IdsReserved():
                desk.numbered(event, now)
            case TasksRecovered():
                recover(desk, event.tasks, now)
            case LedgerStuck():
                desk.stuck(event.reason)
            case LedgerWell():
                desk.well(now)
            case _:
                return False
        return True

    def _decide_about_plugins(self, event: Event, now: float) -> None:
        lives = self._lives
        match event:
            case PluginStarted():
                lives.plugin_started(event, now)
            case PluginStopped():
                lives.plugin_stopped(event, now)
            case HealthSaid():
                lives.health_said(event, now)
            case Beat():
                lives.beat(event.plugin_id, now)
            case ProcessExited():
                lives.exited(event, now)
            case StartAsked():
                lives.start(None, now)
            case PluginsAsked(what="start"):
                lives.start(event.plugin_ids, now)
            case PluginsAsked(what="stop"):
                lives.stop(event.plugin_ids, now)
            case PluginsAsked():
                lives.restart(event.plugin_ids, now)
            case Reloaded():
                self._reload(event, now)
            case Spawned():
                lives.spawned(event, now)
            case SpawnFailed():
                lives.spawn_failed(event, now)
            case StopAsked():
                self._stop(event.reason, now)
            case KillAsked():
                self._stop("killed on request", now)
                lives.kill_all(now)
            case Tick():
                lives.tick(now)

    def _stop(self, reason: str, now: float) -> None:
        if self._lives.is_ending:
            return
        self._out.append(Say("info", f"stopping: {reason}"))
        self._desk.close(STOPPING, now)
        self._lives.stop_all(now)

    def _reload(self, event: Reloaded, now: float) -> None:
        if self._lives.is_ending:
            return
        self._lives.ladder.stop_timeout = event.stop_timeout
        specs = {spec.id: spec for spec in event.plugins}
        there = {plugin.id: plugin.next_spec or plugin.spec for plugin in self._plugins.values() if not plugin.leaves}
        changes = difference(there, event.plugins)
        for plugin_id in changes.removed:
            self._plugins[plugin_id].leaves = self._are_leaving = True
        # What an operator had stopped stays so; what had failed may have been mended by the change.
        restarted = [plugin_id for plugin_id in changes.changed if not self._plugins[plugin_id].stays_stopped]
        for plugin_id in changes.changed:
            self._plugins[plugin_id].next_spec = specs[plugin_id]
        for plugin_id in changes.added:
            plugin = self._plugins.get(plugin_id)
            if plugin is None:  # otherwise it was about to leave, and stays after all
                plugin = self._plugins[plugin_id] = PluginRecord(specs[plugin_id], since=now)
                self._desk.board.adopt(plugin)
                self._out.append(Adopt(plugin_id))
            plugin.leaves, plugin.next_spec = False, specs[plugin_id]
        # Before anything is started or stopped, which goes by what the plugins come after by now.
        for plugin in self._plugins.values():
            if plugin.has_no_process:
                plugin.take_next_spec()
        self._desk.board.look_at_specs()
        self._has_on_demand = self._any_is_on_demand()
        self._out.append(SendConfigReloaded())
        # First, so that nothing that comes after one of them is started before it has been.
        self._lives.restart(restarted, now)
        self._lives.stop(changes.removed, now)
        for plugin_id in changes.removed:
            self._desk.drop(self._plugins[plugin_id], now)
        self._lives.start(changes.added, now)

    def _any_is_on_demand(self) -> bool:
        """Whether a plugin is, or will be once it ended, one that has a process only while there is something to do."""
        specs = (spec for plugin in self._plugins.values() for spec in (plugin.spec, plugin.next_spec) if spec)
        return any(spec.state != "persistent" for spec in specs)

    def _standings(self) -> dict[str, tuple[PluginState, str, int | None]]:
        return {plugin.id: (plugin.state, plugin.reason, plugin.pid) for plugin in self._plugins.values()}

    def _let_go_of_those_that_left(self) -> None:
        leaving = [plugin for plugin in self._plugins.values() if plugin.leaves]
        self._are_leaving = bool(leaving)
        for plugin in leaving:
            if plugin.has_no_process and not self._desk.has_tasks_of(plugin):
                self._desk.board.forget(plugin)
                del self._plugins[plugin.id]
                self._out.append(Forget(plugin.id))
                if plugin.killed and self._departed is None:
                    self._departed = plugin

    def _watch_the_stop(self, now: float) -> None:
        """Say every now and then who is waited for, and wait for no disk for ever."""
        waits = [
            plugin
            for plugin in self._plugins.values()
            if plugin.state is PluginState.STOPPING or (plugin.to_stop and plugin.state.has_process)
        ]
        if not waits:
            self._report_at = None
        elif self._report_at is None:
            self._report_at = now + REPORT_SECONDS
        elif self._report_at <= now:
            self._report_at = now + REPORT_SECONDS
            self._out.append(Say("info", f"waiting for {', '.join(outlook(plugin, now) for plugin in waits)}"))
        if not self._lives.is_ending or self._desk.is_empty or not self.nothing_runs:
            self._store_until = None
        elif self._store_until is None:
            self._store_until = now + STORE_SECONDS
        elif self._store_until <= now:
            self._store_until = None
            self._out.append(Say("error", f"results were not on disk after {STORE_SECONDS:g} s; they are given up"))
            self._desk.give_up("its results were not on disk when the supervisor ended", now)
