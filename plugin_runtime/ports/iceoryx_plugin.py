"""A plugin's end of the iceoryx2 ports."""

import ctypes
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import PeerGone
from plugin_runtime.ports.base import IncomingRequest, PluginPorts, ReceivedEvent
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import (
    Bell,
    IceoryxPorts,
    Services,
    copy_event,
    fill,
    require_shared_memory,
    translated,
)
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader
from plugin_runtime.wire.names import CHUNK_SIZE, DaemonWake

__all__ = ["IceoryxPluginPorts"]

HEADER_SIZE = ctypes.sizeof(TaskRequestHeader)
EVENT_SLICE = 512


class IceoryxRequest(IncomingRequest):
    """A request in shared memory: its header and payload are copied, the way back is kept."""

    def __init__(self, active: Any, supervisor: Bell) -> None:  # noqa: ANN401 - iceoryx2 has no types
        self.header = TaskRequestHeader.from_buffer_copy(ctypes.string_at(active.user_header_ptr, HEADER_SIZE))
        self.payload = ctypes.string_at(active.payload_ptr, active.header.number_of_elements)
        self._active = active
        self._supervisor = supervisor

    def send(self, frame: Frame) -> None:
        active = self._active
        if active is None or not active.is_connected:
            raise PeerGone("the supervisor does not wait for this task any more")
        require_shared_memory(frame.size)
        with translated("send a response"):
            loan = active.loan_slice_uninit(frame.size)
            ctypes.memmove(loan.user_header_ptr, ctypes.byref(frame.header), ctypes.sizeof(frame.header))
            fill(loan.payload_ptr, frame.parts, frame.size)
            loan.assume_init().send()
        self._supervisor.ring(DaemonWake.RESPONSE)

    def close(self) -> None:
        if self._active is not None:
            self._active.delete()
            self._active = None


class IceoryxPluginPorts(IceoryxPorts, PluginPorts):
    """The ports of one plugin.

    Args:
        domain: Where the supervisor's services are.
        plugin_id: Whose ports to open.
        uses_credits: Whether the supervisor gives credits for responses; otherwise sending blocks.

    Raises:
        VersionMismatch: The supervisor uses another release of iceoryx2.
        TransportError: They could not be opened; another living process may hold them.
    """

    def __init__(self, domain: Domain, plugin_id: str, *, uses_credits: bool) -> None:
        self._uses_credits = uses_credits
        require_shared_memory(0)
        services = Services(domain)
        strategy = (
            iox.BackpressureStrategy.DiscardData if uses_credits else iox.BackpressureStrategy.RetryUntilDelivered
        )
        with translated(f"serve the tasks of plugin {plugin_id}"):
            self._server = (
                services.tasks(plugin_id)
                .server_builder()
                .initial_max_slice_len(CHUNK_SIZE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .backpressure_strategy(strategy)
                .create()
            )
        with translated(f"open the event channels of plugin {plugin_id}"):
            self._publisher = (
                services.plugin_events(plugin_id)
                .publisher_builder()
                .initial_max_slice_len(EVENT_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
            self._subscriber = services.daemon_events().subscriber_builder().create()
        self._supervisor = Bell(services.daemon_notify())
        self._services = services
        super().__init__(services.plugin_notify(plugin_id))

    @property
    def uses_credits(self) -> bool:  # noqa: D102 - said in the interface
        return self._uses_credits

    def receive_request(self) -> IncomingRequest | None:  # noqa: D102 - said in the interface
        with translated("receive a task"):
            active = self._server.receive()
            return None if active is None else IceoryxRequest(active, self._supervisor)

    def receive_event(self) -> ReceivedEvent | None:  # noqa: D102 - said in the interface
        with translated("receive an event"):
            sample = self._subscriber.receive()
        return None if sample is None else copy_event(sample)

    def publish_event(self, header: EventHeader, payload: bytes) -> None:  # noqa: D102 - said in the interface
        require_shared_memory(len(payload))
        with translated("publish an event"):
            loan = self._publisher.loan_slice_uninit(len(payload))
            ctypes.memmove(loan.user_header_ptr, ctypes.byref(header), ctypes.sizeof(header))
            fill(loan.payload_ptr, (payload,), len(payload))
            loan.assume_init().send()
        self._supervisor.ring(DaemonWake.EVENT)

    def _close_ports(self) -> None:
        self._server.delete()
        self._publisher.delete()
        self._subscriber.delete()
        self._supervisor.close()
