"""A plugin's end of the iceoryx2 ports."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.alarm import Alarm
from plugin_runtime.ports.base import (
    SEND_PATIENCE_SECONDS,
    IncomingRequest,
    PluginPorts,
    ReceivedEvent,
    ReceivedResult,
)
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import (
    EVENT_SLICE,
    Bell,
    IceoryxPorts,
    copy_event,
    copy_out,
    fill,
    publish,
    require_shared_memory,
    translated,
    translation,
    write_header,
)
from plugin_runtime.ports.iceoryx_results import ResultPorts
from plugin_runtime.ports.iceoryx_services import Services, responses_at_once, room_for_plugin
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader
from plugin_runtime.wire.names import CHUNK_SIZE, DaemonWake, beat_wake
from plugin_runtime.wire.published import PublishedFrame

__all__ = ["IceoryxPluginPorts"]

PAUSE_SECONDS = 0.001
RESPONSE, EVENT = int(DaemonWake.RESPONSE), int(DaemonWake.EVENT)


class IceoryxRequest(IncomingRequest):
    """A request in shared memory: its header and payload are copied, the way back is kept."""

    __slots__ = ("_active", "_ports", "header", "payload")

    def __init__(self, active: Any, ports: "IceoryxPluginPorts") -> None:  # noqa: ANN401 - iceoryx2 has no types
        self.header = TaskRequestHeader.from_buffer_copy(TaskRequestHeader.from_address(active.user_header_ptr))
        self.payload = copy_out(active.payload_ptr, active.header.number_of_elements)
        self._active = active
        self._ports = ports

    @property
    def is_open(self) -> bool:
        with self._ports.lock:
            return self._active is not None and self._active.is_connected

    def send(self, frame: Frame) -> bool:
        if self._try_send(frame):
            return True
        # Nobody else had a chance to run while iceoryx2 waited.
        time.sleep(PAUSE_SECONDS)
        return False

    def close(self) -> None:
        with self._ports.lock:
            active, self._active = self._active, None
            if active is not None:
                self._ports.requests.discard(self)
                active.delete()

    def _try_send(self, frame: Frame) -> bool:
        ports = self._ports
        size = frame.size
        require_shared_memory(size)
        with ports.lock:
            active = self._active
            if active is None or not active.is_connected:
                raise PeerGone("the supervisor does not wait for this task any more")
            try:
                loan = active.loan_slice_uninit(size)
                write_header(loan.user_header_ptr, frame.header)
                fill(loan.payload_ptr, frame.parts, size)
                response = loan.assume_init()
                if ports.alarm is None:
                    response.send()
                elif not _sent_before(response, ports.alarm):
                    return False
            except Exception as error:
                raise translation("send a response", error) from error
            ports.supervisor.ring(RESPONSE)
        return True


def _sent_before(response: Any, alarm: Alarm) -> bool:  # noqa: ANN401 - iceoryx2 has no types
    """Send with the blocking strategy; return False where the alarm came first, and nothing was sent."""
    with alarm:
        try:
            response.send()
        except iox.SendError as error:
            # A wait that a signal ended is an internal error to iceoryx2.
            if "InternalError" not in str(error):
                raise
            return False
    return True


class IceoryxPluginPorts(IceoryxPorts, PluginPorts):
    """The ports of one plugin.

    Args:
        domain: Where the supervisor's services are.
        plugin_id: Whose ports to open.
        uses_credits: Whether the supervisor gives credits for responses; otherwise sending blocks.
        concurrency: How many tasks the supervisor sends at once.
        listeners: The plugins that subscribe to this one's results.
        sources: The plugins whose results this one subscribes to.

    Attributes:
        lock: Held by whoever sends, and while the ports are closed.
        supervisor: The supervisor's bell.
        requests: Those that are open.
        alarm: What ends a send that waits for room; None where sending never waits.

    Raises:
        SharedMemoryFull: There is no room for them on this machine.
        VersionMismatch: The supervisor uses another release of iceoryx2.
        TransportError: They could not be opened; another living process may hold them.
    """

    def __init__(
        self,
        domain: Domain,
        plugin_id: str,
        *,
        uses_credits: bool,
        concurrency: int = 1,
        listeners: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> None:
        require_shared_memory(room_for_plugin(concurrency))
        self.lock = threading.Lock()
        self.requests: set[IceoryxRequest] = set()
        self.alarm = None if uses_credits else Alarm(SEND_PATIENCE_SECONDS)
        services = Services(domain)
        strategy = (
            iox.BackpressureStrategy.DiscardData if uses_credits else iox.BackpressureStrategy.RetryUntilDelivered
        )
        with translated(f"serve the tasks of plugin {plugin_id}"):
            server = (
                services.tasks(plugin_id, concurrency)
                .server_builder()
                .initial_max_slice_len(CHUNK_SIZE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .backpressure_strategy(strategy)
            )
            if concurrency > 1:
                # What iceoryx2 would provide for is five times as much, and it writes to all that it notes of it.
                server = server.max_loaned_responses_per_request(1)
                server = server.override_response_preallocation(responses_at_once(concurrency))
            self._server = server.create()
        with translated(f"open the event channels of plugin {plugin_id}"):
            self._publisher = (
                services.plugin_events(plugin_id)
                .publisher_builder()
                .initial_max_slice_len(EVENT_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
            self._subscriber = services.daemon_events().subscriber_builder().create()
        self._results = ResultPorts(services, plugin_id, listeners, sources)
        self.supervisor = Bell(services.daemon_notify())
        super().__init__(services.plugin_notify(plugin_id))

    @property
    def uses_credits(self) -> bool:  # noqa: D102 - said in the interface
        return self.alarm is None

    def receive_request(self) -> IncomingRequest | None:  # noqa: D102 - said in the interface
        self._require_open()
        try:
            active = self._server.receive()
            if active is None:
                return None
            request = IceoryxRequest(active, self)
        except Exception as error:
            raise translation("receive a task", error) from error
        with self.lock:
            self.requests.add(request)
        return request

    def receive_event(self) -> ReceivedEvent | None:  # noqa: D102 - said in the interface
        self._require_open()
        try:
            sample = self._subscriber.receive()
        except Exception as error:
            raise translation("receive an event", error) from error
        return None if sample is None else copy_event(sample)

    def publish_event(self, header: EventHeader, payload: bytes) -> None:  # noqa: D102 - said in the interface
        with self.lock:
            if self._publisher is None:
                raise TransportError("cannot publish an event: these ports were closed")
            publish(self._publisher, header, payload)
            self.supervisor.ring(EVENT)

    def publish_result(self, frame: PublishedFrame) -> None:  # noqa: D102 - said in the interface
        self._results.publish(frame)

    def receive_result(self, source: str) -> ReceivedResult | None:  # noqa: D102 - said in the interface
        self._require_open()
        return self._results.receive(source)

    def ring_plugin(self, plugin_id: str, event_id: int) -> None:  # noqa: D102 - said in the interface
        self._results.ring(plugin_id, event_id)

    def beat(self, slot: int) -> None:  # noqa: D102 - said in the interface
        self._require_open()
        with self.lock:
            self.supervisor.ring(beat_wake(slot))

    def _close_ports(self) -> None:
        for request in list(self.requests):
            request.close()
        with self.lock:
            publisher, self._publisher = self._publisher, None
            publisher.delete()
            self.supervisor.close()
        self._results.close()
        self._server.delete()
        self._subscriber.delete()
