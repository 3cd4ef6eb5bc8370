"""A plugin as the supervisor keeps it."""

from dataclasses import dataclass, field

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.plugin_state import PluginEvent, PluginState, next_plugin_state
from malbox_cli.supervisor.restart import Restarts
from malbox_cli.supervisor.tasks import Task
from malbox_cli.supervisor.vitals import Vitals
from plugin_runtime.wire.messages import Hello

__all__ = ["PluginRecord", "TaskCounts"]

NO_VERSION = "0.0.0"
"""What a plugin is that says no version, here and in what its process says of itself."""


@dataclass(slots=True)
class TaskCounts:
    """How many tasks of a plugin ended which way."""

    completed: int = 0
    failed: int = 0
    canceled: int = 0


@dataclass(slots=True)
class PluginRecord:
    """One plugin.

    Attributes:
        spec: What the manifest says of it.
        state: Where it stands.
        reason: Why it stands there, in words.
        since: When it came there, in seconds of the caller's clock.
        pid: Its process; None while there is none.
        instance: The nonce of its process.
        hello: What the process said of itself.
        spawned_at: When its process was started.
        ready_at: When it was READY.
        restarts: The starts of its process.
        retry_at: When its process is started again, while it is in BACKOFF.
        was_due: Whether it is in BACKOFF because a start failed whose turn it was: then it waits for its turn again.
        vitals: Whether it is well.
        last_exit: How its last process ended.
        last_lines: What its last process printed last.
        killed: How a process of it first ended that was killed; empty while none was.
        said_stopped: Whether its process said PluginStopped.
        doom: Why its process is being killed; becomes the reason once it ended.
        is_unfit: Whether another start of the same program would end the same way.
        comes_back: Whether its process is started again once it ended, whatever the manifest says.
        to_stop: Whether it is to be told to stop once those that come after it have ended.
        leaves: Whether the manifest does not have it any more: it is forgotten once it ended.
        next_spec: What the manifest says of it by now, where its process was started by what it said before.
        spawning: Whether its process is being started: Spawned or SpawnFailed is still to come.
        term_at: When it gets SIGTERM.
        kill_at: When it gets SIGKILL.
        give_up_at: When it is given up, because not even SIGKILL ended it.
        running: The tasks that its process works on, by number.
        served: How many its process was sent.
        counts: The tasks that ended.
    """

    spec: PluginSpec
    state: PluginState = PluginState.PENDING
    reason: str = "not started yet"
    since: float = 0.0
    pid: int | None = None
    instance: str = ""
    hello: Hello | None = None
    spawned_at: float | None = None
    ready_at: float | None = None
    restarts: Restarts = field(default_factory=Restarts)
    retry_at: float | None = None
    was_due: bool = False
    vitals: Vitals = field(default_factory=Vitals)
    last_exit: ExitStatus | None = None
    last_lines: tuple[str, ...] = ()
    killed: str = ""
    said_stopped: bool = False
    doom: str | None = None
    is_unfit: bool = False
    comes_back: bool = False
    to_stop: bool = False
    leaves: bool = False
    next_spec: PluginSpec | None = None
    spawning: bool = False
    term_at: float | None = None
    kill_at: float | None = None
    give_up_at: float | None = None
    running: dict[int, Task] = field(default_factory=dict)
    served: int = 0
    counts: TaskCounts = field(default_factory=TaskCounts)

    @property
    def id(self) -> str:
        """The plugin's id."""
        return self.spec.id

    @property
    def version(self) -> str:
        """Its version: what its process says, unless that says nothing; else what its plugin.toml does."""
        said = self.hello.version if self.hello is not None else ""
        return self.spec.version if said in ("", NO_VERSION) else said

    @property
    def is_on_demand(self) -> bool:
        """Whether it has a process only while there is something to do."""
        return self.spec.state != "persistent"

    @property
    def is_idle(self) -> bool:
        """Whether it has no process because there is nothing to do: it is as good as READY."""
        return self.state is PluginState.IDLE

    @property
    def has_no_process(self) -> bool:
        """Whether it has no process and none is being started."""
        return not self.state.has_process and not self.spawning

    @property
    def is_gone(self) -> bool:
        """Whether it has no process and will not get one by itself: no task of it can be done any more."""
        return self.state.is_over and not self.spawning

    @property
    def takes_tasks(self) -> bool:
        """Whether a task can be sent to its process now, which may be busy with another one."""
        is_to_end = self.to_stop or self.said_stopped or self.doom is not None
        return self.state.is_up and not is_to_end and not self.vitals.silence

    @property
    def standing(self) -> PluginState:
        """Where it stands for others: one that waits for its turn to stop gets no task any more, as one that stops."""
        return PluginState.STOPPING if self.to_stop and self.state.has_process else self.state

    @property
    def stays_stopped(self) -> bool:
        """Whether it is stopped, or about to be, until somebody starts it."""
        is_ending = self.state is PluginState.STOPPING or self.to_stop
        return self.state is PluginState.STOPPED or (is_ending and not self.comes_back)

    def knows(self, extension: str) -> bool:
        """Whether its process said that it knows an extension of the protocol."""
        return self.hello is not None and extension in self.hello.extensions

    def move(self, event: PluginEvent, reason: str, now: float) -> None:
        """Go to the state after `event`.

        Raises:
            KeyError: That event cannot happen in this state; the caller is wrong.
        """
        before, self.state = self.state, next_plugin_state(self.state, event)
        self.reason = reason
        if self.state is not before:
            self.since = now

    def has_process_of(self, pid: int, instance: str, now: float) -> None:
        """Take note of a new process."""
        self.pid, self.instance, self.spawned_at = pid, instance, now
        self.hello = self.ready_at = self.doom = self.retry_at = None
        self.served = 0
        self.said_stopped = self.comes_back = self.to_stop = self.spawning = self.is_unfit = False
        self.vitals = Vitals()
        self.clear_ladder()

    def take_next_spec(self) -> None:
        """Go by what the manifest says by now: there is no process that was started by what it said before."""
        if self.next_spec is not None:
            self.spec, self.next_spec = self.next_spec, None

    def set_ladder(self, term_at: float | None, kill_at: float | None) -> None:
        """Set when it gets the signals that end it; an earlier time that is set already stays."""
        self.term_at = _earlier(self.term_at, term_at)
        self.kill_at = _earlier(self.kill_at, kill_at)

    def clear_ladder(self) -> None:
        """Let no signal come any more."""
        self.term_at = self.kill_at = self.give_up_at = None

    def deadlines(self) -> list[float]:
        """Return when something has to be done about it."""
        times = [self.term_at, self.kill_at, self.give_up_at, self.retry_at]
        if self.state is PluginState.STARTING and self.doom is None and self.spawned_at is not None:
            times.append(self.spawned_at + self.spec.start_timeout)
        if self.state.is_up and self.doom is None:
            times.append(self.vitals.deadline())
        return [time for time in times if time is not None]


def _earlier(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return first if second is None else second
    return min(first, second)
