"""The supervisor's one thread and one wait: what happens becomes events, what the machine decides is done.

It decides nothing itself. Threads of the store and of the samples answer through `post`; everything else happens here.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress

from malbox_cli.control.records import Record
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.store.ledger import Committed, LedgerWriter
from malbox_cli.store.results import ResultWriter, Written
from malbox_cli.store.samples import SampleReader
from malbox_cli.supervisor import actions, events
from malbox_cli.supervisor.children import Children
from malbox_cli.supervisor.clock import Clock
from malbox_cli.supervisor.health_checks import HealthChecks
from malbox_cli.supervisor.heartbeat_slots import HeartbeatSlots
from malbox_cli.supervisor.ledger_gate import LedgerGate
from malbox_cli.supervisor.log_hub import Say
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import SpawnError, belongs_to
from malbox_cli.supervisor.streams import TaskStreams
from plugin_runtime.errors import ProtocolError, TransportError, VersionMismatch
from plugin_runtime.ports.base import ReceivedEvent, SupervisorPorts
from plugin_runtime.wire.codec import decode_event, decode_hello, encode_event
from plugin_runtime.wire.messages import EventKind, EventMessage
from plugin_runtime.wire.names import DaemonWake

__all__ = ["Reactor"]

SAFETY_NET_SECONDS = 5.0
"""How long the wait takes at most, and how often every channel is looked at, whatever is or is not rung."""

WAKEFUL_SECONDS = 150e-6
"""How long it stays awake once it sent a task: going to sleep and being woken takes longer than an empty task does."""


SETTLE_SECONDS = 2.0

Store = tuple[LedgerWriter, ResultWriter, SampleReader]


def _seldom() -> float:
    return SAFETY_NET_SECONDS


def _ignore(plugin_id: str) -> None:
    del plugin_id


class Reactor:
    """Joins the machine to the ports, the processes and the store.

    Args:
        machine: Who decides.
        plugins: The plugins that there are at first.
        ports: The way to the plugins; their services are made here, before any process.
        poller: The descriptors of everybody.
        children: The plugins' processes.
        pump: What they print.
        store: Makes what keeps things on disk, which answers through `Reactor.post`.
        emit: Takes each record, with the client that it is for, once the ledger has what was decided before it.
        say: Takes what an operator should know.
        slots: Whose heartbeat is whose.
        clock: What the machine knows the time from; by default one of its own.

    Attributes:
        on_change: Called with the id of a plugin that stands elsewhere than before.
        beat: Called at the end of each turn; it returns in how many seconds at the latest it wants to be called again.
    """

    def __init__(
        self,
        machine: Machine,
        plugins: Iterable[PluginSpec],
        ports: SupervisorPorts,
        poller: Poller,
        children: Children,
        pump: OutputPump,
        store: Callable[["Reactor"], Store],
        emit: Callable[[int, Record], None],
        say: Say,
        slots: HeartbeatSlots,
        clock: Clock | None = None,
    ) -> None:
        self.beat: Callable[[], float] = _seldom
        self._machine = machine
        self._plugin_ids = {spec.id: spec.concurrency for spec in plugins}
        self._ports = ports
        self._poller = poller
        self._children = children
        self._pump = pump
        self._say = say
        self._clock = Clock() if clock is None else clock
        self._slots = slots
        self._health = HealthChecks(ports, self.handle)
        self._inbox: deque[events.Event | Written | Committed] = deque()
        self._inbox_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._queue: deque[events.Event] = deque()
        self._handling = False
        self._awake_until = 0.0
        self._look_everywhere_at = 0.0
        self._deadline: float | None = None
        self._deadline_is_known = False
        self._longest_wait = SAFETY_NET_SECONDS
        for plugin_id, concurrency in self._plugin_ids.items():
            ports.add_plugin(plugin_id, concurrency)
        poller.add(self._inbox_fd, self._read_inbox)
        ports.watch(poller.fd)
        children.on_end = self._child_ended
        self.on_change: Callable[[str], None] = _ignore
        # The threads begin last: where something fails before, nobody would end them.
        self._ledger, self._writer, self._reader = store(self)
        self._streams = TaskStreams(ports, self._writer, self.handle, say)
        self._gate = LedgerGate(self._ledger, emit, self._streams.grant)
        self.handle(self._ledger.first_ids)
        self.handle(events.TasksRecovered(self._ledger.open_tasks()))

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Run until `is_over`, which is asked after every turn."""
        while not is_over():
            if self._clock.now() < self._awake_until:
                os.sched_yield()
            else:
                seconds = self._wait_time()
                self._clock.expect(seconds)
                self._ports.wait(seconds)
            self.turn()

    def turn(self) -> None:
        """Deal with everything that has happened, as far as fairness allows. Does not block."""
        wakes = self._ports.take_wakes()
        now = self._clock.now()
        look_everywhere = now >= self._look_everywhere_at
        if look_everywhere:
            self._look_everywhere_at = now + SAFETY_NET_SECONDS
        if wakes or look_everywhere or self._streams.has_more:
            self._streams.drain()
        if self._health.are_open and (look_everywhere or DaemonWake.RESPONSE in wakes):
            self._health.drain()
        if look_everywhere or DaemonWake.EVENT in wakes:
            for plugin_id in list(self._plugin_ids):
                self._drain_events(plugin_id)
        if self._slots.are_taken:
            self._take_beats(wakes)
        if look_everywhere:
            self._children.look_after()
        self._pump.resume(time.monotonic())
        self._poller.dispatch()
        deadline = self._next_deadline()
        if deadline is not None and deadline <= self._clock.now():
            self.handle(events.Tick())
        self._longest_wait = min(SAFETY_NET_SECONDS, self.beat())

    def settle(self) -> None:
        """Run on until everything that was decided is on disk and announced; a disk has two seconds for that."""
        give_up_at = time.monotonic() + SETTLE_SECONDS
        while not self._gate.is_empty and (left := give_up_at - time.monotonic()) > 0:
            self._ports.wait(min(left, self._wait_time()))
            self.turn()

    def when_kept(self, task_id: int, then: Callable[[], None]) -> None:
        """Call once everything that was decided about a task is on disk and announced."""
        self._gate.when_kept(task_id, then)

    def post(self, event: events.Event | Written | Committed) -> None:
        """Hand in an event, from another thread or a signal's handler; after `close` nobody takes it any more."""
        self._inbox.append(event)
        if self._inbox_fd >= 0:
            os.eventfd_write(self._inbox_fd, 1)

    def handle(self, event: events.Event) -> None:
        """Let the machine decide about an event, and do what it decides; from the reactor's thread only.

        Events that come up while one is dealt with wait for their turn.
        """
        self._queue.append(event)
        if self._handling:
            return
        self._handling = True
        self._deadline_is_known = False
        try:
            while self._queue:
                for action in self._machine.handle(self._queue.popleft(), self._clock.now()):
                    self._do(action)
        finally:
            self._handling = False

    def announce(self, message: EventMessage) -> None:
        """Publish an event to every plugin."""
        self._publish(message, f"cannot tell the plugins of {message.kind.name}")

    def close(self) -> None:
        """Kill what still runs, let the store finish, and let go of everything. Safe whatever happened before."""
        # Each step whatever becomes of those before: a thread that is left keeps the process from ending.
        with ExitStack() as stack:
            stack.callback(self._close_inbox)
            stack.callback(self._poller.remove, self._inbox_fd)
            stack.callback(self._ports.unwatch, self._poller.fd)
            stack.callback(self._streams.close)
            stack.callback(self._health.close)
            stack.callback(self._end_ledger)
            stack.callback(self._end_writer)
            stack.callback(self._reader.close)
            self._children.kill_all()

    def _end_writer(self) -> None:
        if not self._writer.close():
            self._say("error", "the disk did not take all results in time; what is still on its way to it is given up")

    def _end_ledger(self) -> None:
        unused = self._machine.unused_ids
        if not self._ledger.close(unused.start if unused else None):
            self._say("error", "the disk did not take the ledger in time; how the last tasks ended is given up")

    def _close_inbox(self) -> None:
        fd, self._inbox_fd = self._inbox_fd, -1
        os.close(fd)

    def _wait_time(self) -> float:
        if self._streams.has_more:
            return 0.0
        deadline, resume_at = self._next_deadline(), self._pump.next_deadline()
        wait = self._longest_wait
        if deadline is not None:
            wait = min(wait, deadline - self._clock.now())
        if resume_at is not None:
            wait = min(wait, resume_at - time.monotonic())
        return max(0.0, wait)

    def _next_deadline(self) -> float | None:
        """Return the machine's next deadline, which changes only when it decides something."""
        if not self._deadline_is_known:
            self._deadline = self._machine.next_deadline()
            self._deadline_is_known = True
        return self._deadline

    def _read_inbox(self) -> None:
        os.eventfd_read(self._inbox_fd)
        while self._inbox:
            event = self._inbox.popleft()
            if isinstance(event, Written):
                # A small result is in the ledger too, and waits there for the same disk once more.
                self._gate.when_room(event.task_id, self._streams.written)
            elif isinstance(event, Committed):
                self._gate.kept(event.number)
            else:
                self.handle(event)

    def _do(self, action: actions.Action) -> None:
        match action:
            case actions.Emit():
                self._gate.emit(action.client, action.record)
            case actions.Write():
                self._gate.write(action.entry)
            case actions.Grant():
                self._gate.grant(action.task_id)
            case actions.SendTask():
                self._streams.send_task(action)
                self._awake_until = self._clock.now() + WAKEFUL_SECONDS
            case actions.CloseTask():
                self._streams.close_task(action.task_id)
                self._gate.closed(action.task_id)
            case actions.StorePiece():
                self._streams.store(action)
            case actions.StoreFile():
                self._streams.store_file(action)
            case actions.AbandonResults():
                self._writer.abandon(action.task_id)
            case actions.ReadSample():
                self._reader.read(action.task_id, action.path)
            case actions.CheckSamples():
                self._reader.check(action.samples)
            case actions.ReserveIds():
                self._ledger.reserve_ids(action.count)
            case actions.SendCancel():
                self._streams.send_cancel(action.task_id, action.plugin_id)
            case actions.Say():
                self._say(action.level, action.text, action.plugin_id)
            case actions.Spawn():
                self._spawn(action)
            case actions.Signal():
                self._children.signal(action.plugin_id, action.number)
            case actions.Changed():
                self.on_change(action.plugin_id)
            case actions.SendShutdown():
                self._publish(EventMessage(EventKind.DAEMON_SHUTDOWN), "cannot tell the plugins to stop, signals will")
            case actions.SendConfigReloaded():
                message = EventMessage(EventKind.CONFIG_RELOADED)
                self._publish(message, "cannot tell the plugins that the manifest was read again")
            case actions.AskStop():
                self._ask_stop(action.plugin_id)
            case actions.AskHealth():
                self._health.ask(action.plugin_id)
            case actions.CleanUp():
                self._clean_up(action)
            case actions.Abandon():
                self._health.forget(action.plugin_id)
                self._children.abandon(action.plugin_id)
            case actions.Adopt():
                with suppress(TransportError):  # it is told when its process is to be started, which tries again
                    self._add(action.plugin_id)
            case actions.Forget():
                self._forget(action.plugin_id)

    def _spawn(self, action: actions.Spawn) -> None:
        plugin_id = action.plugin_id
        try:
            self._add(plugin_id, action.spec.concurrency)
            child, instance = self._children.spawn(action.spec)
        except SpawnError as error:
            self.handle(events.SpawnFailed(plugin_id, str(error), error.is_transient))
        except TransportError as error:  # its services could not be made; there may be room for them later
            self.handle(events.SpawnFailed(plugin_id, str(error), not isinstance(error, VersionMismatch)))
        else:
            self.handle(events.Spawned(plugin_id, child.pid, instance))

    def _add(self, plugin_id: str, concurrency: int = 1) -> None:
        """Make the services of a plugin, if it has none with room for so many tasks at once; for one with no process.

        Raises:
            TransportError: They could not be made.
        """
        room = self._plugin_ids.get(plugin_id, 0)
        if room >= concurrency:
            return
        if room:
            del self._plugin_ids[plugin_id]
            self._ports.remove_plugin(plugin_id)
        self._ports.add_plugin(plugin_id, concurrency)
        self._plugin_ids[plugin_id] = concurrency

    def _forget(self, plugin_id: str) -> None:
        self._slots.release(plugin_id)
        self._health.forget(plugin_id)
        if plugin_id not in self._plugin_ids:
            return
        del self._plugin_ids[plugin_id]
        try:
            self._ports.remove_plugin(plugin_id)
        except TransportError as error:
            self._say("warning", f"{plugin_id}: {error}", plugin_id)

    def _publish(self, message: EventMessage, failure: str) -> None:
        try:
            self._ports.publish_event(*encode_event(message))
        except TransportError as error:
            self._say("warning", f"{failure}: {error}")

    def _ask_stop(self, plugin_id: str) -> None:
        try:
            self._ports.ask_stop(plugin_id)
        except TransportError as error:
            self._say("warning", f"{plugin_id}: cannot tell it to stop, signals will: {error}")

    def _clean_up(self, action: actions.CleanUp) -> None:
        try:
            self._ports.clean_up_after(action.pid)
        except TransportError as error:
            self._say("warning", f"{action.plugin_id}: {error}", action.plugin_id)

    def _child_ended(self, plugin_id: str) -> None:
        """Take in everything that a plugin's process had sent, and only then say that it has ended."""
        ending = self._children.reap(plugin_id)
        self._streams.drain_dead(plugin_id)
        self._drain_events(plugin_id)
        self._health.forget(plugin_id)
        last_lines = self._pump.last_lines(plugin_id)
        self.handle(events.ProcessExited(plugin_id, ending.pid, ending.status, last_lines, ending.memory_note))

    def _take_beats(self, wakes: Mapping[int, int]) -> None:
        for event_id in wakes:
            plugin_id = self._slots.plugin_of(event_id)
            if plugin_id is not None:
                self.handle(events.Beat(plugin_id))

    def _receive_event(self, plugin_id: str) -> ReceivedEvent | None:
        """Return a plugin's next event. One that has left has none; of one that cannot be received it is said."""
        if plugin_id not in self._plugin_ids:
            return None
        try:
            return self._ports.receive_event(plugin_id)
        except TransportError as error:  # of one plugin: the others are none the worse for it
            self._say("warning", f"{plugin_id}: {error}", plugin_id)
            return None

    def _drain_events(self, plugin_id: str) -> None:
        while (received := self._receive_event(plugin_id)) is not None:
            try:
                message = decode_event(received.header, received.payload)
                hello = decode_hello(message.payload) if message.kind is EventKind.PLUGIN_STARTED else None
            except ProtocolError as error:
                self._say("warning", f"{plugin_id}: skipped an event: {error}", plugin_id)
                continue
            child = self._children.get(plugin_id)
            is_ours = child is not None and belongs_to(received.pid, child.pid)
            if message.kind is EventKind.PLUGIN_STARTED:
                self.handle(events.PluginStarted(plugin_id, received.pid, is_ours, hello))
            elif message.kind is EventKind.PLUGIN_STOPPED:
                # A process that has ended since cannot be asked for its session any more.
                self.handle(events.PluginStopped(plugin_id, is_ours or child is None))
