"""Ports that stay in this process, with switches for what goes wrong between processes.

They keep the promises of the interface, so that a plugin's loop and a supervisor can be run against each other without
shared memory: in this project's tests and in those of a plugin's author.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.base import (
    SEND_PATIENCE_SECONDS,
    IncomingRequest,
    PluginPorts,
    Ports,
    ReceivedEvent,
    ReceivedFrame,
    ReceivedResult,
    ResponseStream,
    SupervisorPorts,
)
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import EventHeader, ResultHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.names import RESPONSE_WINDOW, DaemonWake, PluginWake, beat_wake, credit_wake
from plugin_runtime.wire.published import PublishedFrame

__all__ = ["Faults", "MemoryExchange"]

EVENT_BUFFER = 32
RESULT_BUFFER = 16


@dataclass(slots=True)
class Faults:
    """What goes wrong; to be switched at any time.

    Attributes:
        full: The response buffer has no room: blocking sends wait, and credits are withheld until it is switched off.
        drop: Responses are lost on the way, as they are where one is sent without a credit.
        disconnect: The other side is gone: requests are delivered to nobody, and responses raise `PeerGone`.
    """

    full: bool = False
    drop: bool = False
    disconnect: bool = False


class MemoryBell:
    """Counts how often each event id was rung, and makes a descriptor readable until the counts are taken."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._counts: dict[int, int] = {}
        self._open = True

    def ring(self, event_id: int) -> None:
        """Count one ring."""
        with self._lock:
            if self._open:
                self._counts[event_id] = self._counts.get(event_id, 0) + 1
                os.eventfd_write(self.fd, 1)

    def take(self) -> dict[int, int]:
        """Return the counts and start anew."""
        with self._lock:
            counts, self._counts = self._counts, {}
            if counts:
                os.eventfd_read(self.fd)
        return counts

    def close(self) -> None:
        """Close the descriptor; later rings are ignored."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.fd)


class MemoryPorts(Ports):
    """The wait that both ends share."""

    def __init__(self, bell: MemoryBell) -> None:
        self._bell = bell
        self._poll = select.poll()
        self._poll.register(bell.fd, select.POLLIN)
        self._watched: set[int] = set()
        self._closed = False

    def wait(self, timeout: float | None) -> None:
        self._require_open()
        self._poll.poll(None if timeout is None else max(timeout, 0.0) * 1000)

    def watch(self, fd: int) -> None:
        self._require_open()
        self._poll.register(fd, select.POLLIN)
        self._watched.add(fd)

    def unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.remove(fd)
            self._poll.unregister(fd)

    def take_wakes(self) -> Mapping[int, int]:
        self._require_open()
        return self._bell.take()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._bell.close()
            self._close_ports()

    def _require_open(self) -> None:
        if self._closed:
            raise TransportError("these ports were closed")

    def _close_ports(self) -> None:
        """Let go of what one end has beside its bell."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way, and the responses on theirs."""

    header: TaskRequestHeader
    payload: bytes
    responses: deque[tuple[TaskResponseHeader, bytes]] = field(default_factory=deque)
    supervisor_closed: bool = False
    plugin_closed: bool = False


@dataclass(slots=True)
class PluginSide:
    """What the exchange keeps of one plugin.

    Attributes:
        bell: The plugin's; None where no plugin has its end open.
        requests: Those that the plugin has not received.
        open_calls: Those that the supervisor has not let go of.
        events: The plugin's, for the supervisor.
        daemon_events: The supervisor's, for the plugin.
        results: Those of each plugin that it subscribes to.
    """

    bell: MemoryBell | None = None
    requests: deque[Call] = field(default_factory=deque)
    open_calls: set[Call] = field(default_factory=set)
    events: deque[ReceivedEvent] = field(default_factory=lambda: deque(maxlen=EVENT_BUFFER))
    daemon_events: deque[ReceivedEvent] = field(default_factory=lambda: deque(maxlen=EVENT_BUFFER))
    results: dict[str, deque[ReceivedResult]] = field(default_factory=dict)

    def ring(self, event_id: int) -> None:
        """Wake the plugin, if there is one."""
        if self.bell is not None:
            self.bell.ring(event_id)


class MemoryExchange:
    """Where both ends meet: one supervisor's, and one of each plugin.

    Args:
        uses_credits: The flow control of responses; see `plugin_runtime.ports.base`.

    Attributes:
        faults: The switches; call `changed` after turning one.
        room: Notified when a response was received or let go of.
        daemon_bell: The supervisor's.
        sides: What is kept of each plugin.
    """

    def __init__(self, *, uses_credits: bool = True) -> None:
        self.uses_credits = uses_credits
        self.faults = Faults()
        self.room = threading.Condition()
        self.daemon_bell = MemoryBell()
        self.sides: dict[str, PluginSide] = {}

    def changed(self) -> None:
        """Let whoever waits look at the switches again."""
        with self.room:
            self.room.notify_all()

    def supervisor(self) -> SupervisorPorts:
        """Return the supervisor's end."""
        return MemorySupervisorPorts(self)

    def plugin(self, plugin_id: str, *, listeners: Sequence[str] = (), sources: Sequence[str] = ()) -> PluginPorts:
        """Return the end of one plugin, new and without anything that was sent before.

        Args:
            plugin_id: The plugin.
            listeners: The plugins that subscribe to its results.
            sources: The plugins whose results it subscribes to.

        Raises:
            TransportError: Somebody has it open.
        """
        side = self.sides.setdefault(plugin_id, PluginSide())
        if side.bell is not None:
            raise TransportError(f"cannot serve the tasks of plugin {plugin_id}: another process holds that place")
        side.daemon_events.clear()
        side.results = {source: deque() for source in sources}
        side.bell = MemoryBell()
        return MemoryPluginPorts(self, plugin_id, side, side.bell, listeners)


class MemoryRequest(IncomingRequest):
    """A request that reached the plugin."""

    def __init__(self, exchange: MemoryExchange, side: PluginSide, call: Call) -> None:
        self.header = call.header
        self.payload = call.payload
        self._exchange = exchange
        self._side = side
        self._call = call

    @property
    def is_open(self) -> bool:
        call = self._call
        return not (self._exchange.faults.disconnect or call.supervisor_closed or call.plugin_closed)

    def send(self, frame: Frame) -> bool:
        exchange, call = self._exchange, self._call
        header = TaskResponseHeader.from_buffer_copy(frame.header)
        payload = b"".join(frame.parts)
        with exchange.room:
            if not exchange.uses_credits:
                exchange.room.wait_for(lambda: not (self.is_open and self._full()), SEND_PATIENCE_SECONDS)
            if not self.is_open:
                raise PeerGone("the supervisor does not wait for this task any more")
            if not exchange.uses_credits and self._full():
                return False
            if not exchange.faults.drop and len(call.responses) < RESPONSE_WINDOW:
                call.responses.append((header, payload))
        exchange.daemon_bell.ring(DaemonWake.RESPONSE)
        return True

    def close(self) -> None:
        with self._exchange.room:
            self._call.plugin_closed = True
            self._exchange.room.notify_all()

    def _full(self) -> bool:
        return self._exchange.faults.full or len(self._call.responses) >= RESPONSE_WINDOW


class MemoryPluginPorts(MemoryPorts, PluginPorts):
    """A plugin's end."""

    def __init__(
        self, exchange: MemoryExchange, plugin_id: str, side: PluginSide, bell: MemoryBell, listeners: Sequence[str]
    ) -> None:
        super().__init__(bell)
        self._exchange = exchange
        self._plugin_id = plugin_id
        self._listeners = tuple(listeners)
        self._side = side

    @property
    def uses_credits(self) -> bool:
        return self._exchange.uses_credits

    def receive_request(self) -> IncomingRequest | None:
        self._require_open()
        requests = self._side.requests
        return MemoryRequest(self._exchange, self._side, requests.popleft()) if requests else None

    def receive_event(self) -> ReceivedEvent | None:
        self._require_open()
        events = self._side.daemon_events
        return events.popleft() if events else None

    def publish_event(self, header: EventHeader, payload: bytes) -> None:
        self._require_open()
        self._side.events.append(ReceivedEvent(EventHeader.from_buffer_copy(header), bytes(payload), os.getpid()))
        self._exchange.daemon_bell.ring(DaemonWake.EVENT)

    def publish_result(self, frame: PublishedFrame) -> None:
        self._require_open()
        if not self._listeners:
            raise TransportError("cannot publish a result: nobody subscribes")
        for side in list(self._exchange.sides.values()):
            results = side.results.get(self._plugin_id)
            if side.bell is not None and results is not None and len(results) < RESULT_BUFFER:
                header = ResultHeader.from_buffer_copy(frame.header)
                results.append(ReceivedResult(header, b"".join(frame.parts), os.getpid()))

    def receive_result(self, source: str) -> ReceivedResult | None:
        self._require_open()
        results = self._side.results.get(source)
        if results is None:
            raise TransportError(f"cannot receive results of plugin {source}: it is not subscribed to")
        return results.popleft() if results else None

    def ring_plugin(self, plugin_id: str, event_id: int) -> None:
        if plugin_id not in self._listeners and plugin_id not in self._side.results:
            raise TransportError(f"cannot ring plugin {plugin_id}: nothing is shared with it")
        side = self._exchange.sides.get(plugin_id)
        if side is not None:
            side.ring(event_id)

    def beat(self, slot: int) -> None:
        self._require_open()
        self._exchange.daemon_bell.ring(beat_wake(slot))

    def _close_ports(self) -> None:
        side = self._side
        side.bell = None
        side.requests.clear()
        side.results.clear()
        with self._exchange.room:
            for call in side.open_calls:
                call.plugin_closed = True
            self._exchange.room.notify_all()


class MemoryResponses(ResponseStream):
    """The responses of one request."""

    def __init__(self, exchange: MemoryExchange, side: PluginSide, call: Call) -> None:
        self._exchange = exchange
        self._side = side
        self._call = call
        self._withheld = 0

    def receive(self) -> ReceivedFrame | None:
        with self._exchange.room:
            if not self._exchange.faults.full and self._withheld:
                self._give(self._withheld)
                self._withheld = 0
            if not self._call.responses:
                return None
            header, payload = self._call.responses.popleft()
            self._exchange.room.notify_all()
        return ReceivedFrame(header, memoryview(payload))

    def grant(self) -> None:
        if self._exchange.faults.full:
            self._withheld += 1
        else:
            self._give(1)

    def close(self) -> None:
        close_call(self._exchange, self._side, self._call)

    def _give(self, count: int) -> None:
        for _ in range(count):
            self._side.ring(credit_wake(self._call.header.task_id))


def close_call(exchange: MemoryExchange, side: PluginSide, call: Call) -> None:
    """Let go of a request at the supervisor's end."""
    with exchange.room:
        side.open_calls.discard(call)
        call.supervisor_closed = True
        call.responses.clear()
        exchange.room.notify_all()


def close_calls(exchange: MemoryExchange, side: PluginSide) -> None:
    """Let go of all requests to a plugin."""
    for call in list(side.open_calls):
        close_call(exchange, side, call)


class MemorySupervisorPorts(MemoryPorts, SupervisorPorts):
    """The supervisor's end."""

    def __init__(self, exchange: MemoryExchange) -> None:
        super().__init__(exchange.daemon_bell)
        self._exchange = exchange
        self._plugins: dict[str, PluginSide] = {}

    def add_plugin(self, plugin_id: str, concurrency: int = 1) -> None:  # noqa: ARG002 - memory has room for any
        self._require_open()
        self._plugins[plugin_id] = self._exchange.sides.setdefault(plugin_id, PluginSide())

    def remove_plugin(self, plugin_id: str) -> None:
        side = self._side(plugin_id)
        close_calls(self._exchange, side)
        side.requests.clear()
        side.events.clear()
        del self._plugins[plugin_id]

    def send_request(self, plugin_id: str, header: TaskRequestHeader, payload: bytes) -> ResponseStream:
        side = self._side(plugin_id)
        if self._exchange.faults.disconnect or side.bell is None:
            raise PeerGone(f"plugin {plugin_id} does not serve tasks: the request was delivered to nobody")
        call = Call(TaskRequestHeader.from_buffer_copy(header), bytes(payload))
        side.open_calls.add(call)
        side.requests.append(call)
        side.ring(PluginWake.TASK)
        return MemoryResponses(self._exchange, side, call)

    def receive_event(self, plugin_id: str) -> ReceivedEvent | None:
        events = self._side(plugin_id).events
        return events.popleft() if events else None

    def publish_event(self, header: EventHeader, payload: bytes) -> None:
        self._require_open()
        for side in self._plugins.values():
            if side.bell is not None:
                event = ReceivedEvent(EventHeader.from_buffer_copy(header), bytes(payload), os.getpid())
                side.daemon_events.append(event)
                side.ring(PluginWake.DAEMON_EVENT)

    def ask_stop(self, plugin_id: str) -> None:
        self._side(plugin_id).ring(PluginWake.STOP)

    def clean_up_after(self, pid: int) -> None:  # noqa: ARG002 - said in the interface; memory leaves nothing
        self._require_open()

    def _side(self, plugin_id: str) -> PluginSide:
        self._require_open()
        side = self._plugins.get(plugin_id)
        if side is None:
            raise TransportError(f"plugin {plugin_id} was not added to these ports")
        return side

    def _close_ports(self) -> None:
        for side in self._plugins.values():
            close_calls(self._exchange, side)
