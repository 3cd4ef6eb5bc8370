"""The supervisor's end of the iceoryx2 ports."""

from dataclasses import dataclass, field
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.base import ReceivedEvent, ReceivedFrame, ResponseStream, SupervisorPorts
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import (
    EVENT_SLICE,
    ROOM_FOR_PLUGIN,
    Bell,
    IceoryxPorts,
    copy_event,
    fill,
    publish,
    require_shared_memory,
    translated,
    translation,
    view_of,
    write_header,
)
from plugin_runtime.ports.iceoryx_cleaning import clean_up_after
from plugin_runtime.ports.iceoryx_services import MAX_SUBSCRIBERS, Services, room_for_plugin
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.names import PluginWake, credit_wake

__all__ = ["IceoryxSupervisorPorts"]

REQUEST_SLICE = 64 * 1024
TASK, DAEMON_EVENT, STOP = int(PluginWake.TASK), int(PluginWake.DAEMON_EVENT), int(PluginWake.STOP)


class IceoryxResponses(ResponseStream):
    """The pending response of one request.

    Args:
        end: The plugin it was sent to.
        task_id: The task that the request is about.
        pending: What iceoryx2 returned for the request.
        early: A response that was there when the request had hardly been sent.
    """

    def __init__(self, end: "PluginEnd", task_id: int, pending: Any, early: Any) -> None:  # noqa: ANN401 - as below
        self._end = end
        self._credit = credit_wake(task_id)
        self._pending = pending
        self._early = early
        self._held: Any = None
        end.streams.add(self)

    def receive(self) -> ReceivedFrame | None:
        held, self._held = self._held, None
        if held is not None:
            held.delete()
        pending = self._pending
        if pending is None:
            return None
        response, self._early = self._early, None
        try:
            if response is None:
                response = pending.receive()
                if response is None:
                    return None
            self._held = response
            header = TaskResponseHeader.from_buffer_copy(TaskResponseHeader.from_address(response.user_header_ptr))
            size = response.header.number_of_elements
            return ReceivedFrame(header, view_of(response.payload_ptr, size) if size else b"")
        except Exception as error:
            raise translation("receive a response", error) from error

    def grant(self) -> None:
        self._end.bell.ring(self._credit)

    def close(self) -> None:
        if self._pending is None:
            return
        try:
            # Unread responses stay in the channel and take the room of later requests, until somebody receives.
            while self.receive() is not None:
                pass
        finally:
            pending, self._pending = self._pending, None
            pending.delete()
            self._end.streams.discard(self)


@dataclass(slots=True)
class PluginEnd:
    """What the supervisor holds of one plugin: its services, so that they are whole for it, and the ports on them.

    Attributes:
        room: Bytes of shared memory that it takes before it has said anything.
    """

    client: Any
    subscriber: Any
    bell: Bell
    held_services: tuple[Any, ...]
    room: int
    streams: set[IceoryxResponses] = field(default_factory=set)

    def close(self) -> None:
        """Let go of all of it."""
        for stream in list(self.streams):
            stream.close()
        self.client.delete()
        self.subscriber.delete()
        self.bell.close()
        self.held_services = ()


class IceoryxSupervisorPorts(IceoryxPorts, SupervisorPorts):
    """The ports of a supervisor.

    Args:
        domain: Where to make the services.

    Raises:
        SharedMemoryFull: There is no room for them.
        TransportError: They could not be made; another supervisor may hold them.
    """

    def __init__(self, domain: Domain) -> None:
        require_shared_memory(ROOM_FOR_PLUGIN)
        services = Services(domain)
        self._services: Services | None = services
        self._domain = domain
        with translated("publish the supervisor's events"):
            self._publisher = (
                services.daemon_events()
                .publisher_builder()
                .initial_max_slice_len(EVENT_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
        self._plugins: dict[str, PluginEnd] = {}
        super().__init__(services.daemon_notify())

    def add_plugin(self, plugin_id: str, concurrency: int = 1) -> None:  # noqa: D102 - said in the interface
        services = self._open_services()
        if len(self._plugins) == MAX_SUBSCRIBERS:
            raise TransportError(
                f"cannot add plugin {plugin_id}: the protocol allows {MAX_SUBSCRIBERS} plugins at once; run fewer"
            )
        # Those that were added before have most likely not taken theirs yet: their processes are still to be started.
        room = room_for_plugin(concurrency)
        require_shared_memory(sum((end.room for end in self._plugins.values()), room))
        tasks, events = services.tasks(plugin_id, concurrency), services.plugin_events(plugin_id)
        results, notify = services.results(plugin_id), services.plugin_notify(plugin_id)
        with translated(f"open the ports of plugin {plugin_id}"):
            client = (
                tasks.client_builder()
                .initial_max_slice_len(REQUEST_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
            subscriber = events.subscriber_builder().create()
        self._plugins[plugin_id] = PluginEnd(client, subscriber, Bell(notify), (tasks, events, results, notify), room)

    def remove_plugin(self, plugin_id: str) -> None:  # noqa: D102 - said in the interface
        self._end_of(plugin_id).close()
        del self._plugins[plugin_id]

    def send_request(  # noqa: D102 - said in the interface
        self, plugin_id: str, header: TaskRequestHeader, payload: bytes
    ) -> ResponseStream:
        end = self._end_of(plugin_id)
        size = len(payload)
        require_shared_memory(size)
        try:
            loan = end.client.loan_slice_uninit(size)
            write_header(loan.user_header_ptr, header)
            fill(loan.payload_ptr, (payload,), size)
            pending = loan.assume_init().send()
            connections = pending.number_of_server_connections
            # Receiving throws away what an earlier request left unread in the channel, and has to be done before the
            # plugin fills it. What it returns is none of that but the plugin's own first response.
            early = pending.receive()
        except Exception as error:
            raise translation(f"send a request to plugin {plugin_id}", error) from error
        if not connections:
            pending.delete()
            raise PeerGone(f"plugin {plugin_id} does not serve tasks: the request was delivered to nobody")
        stream = IceoryxResponses(end, header.task_id, pending, early)
        end.bell.ring(TASK)
        return stream

    def receive_event(self, plugin_id: str) -> ReceivedEvent | None:  # noqa: D102 - said in the interface
        end = self._end_of(plugin_id)
        try:
            sample = end.subscriber.receive()
        except Exception as error:
            raise translation(f"receive an event of plugin {plugin_id}", error) from error
        return None if sample is None else copy_event(sample)

    def publish_event(self, header: EventHeader, payload: bytes) -> None:  # noqa: D102 - said in the interface
        self._require_open()
        publish(self._publisher, header, payload)
        for end in self._plugins.values():
            end.bell.ring(DAEMON_EVENT)

    def ask_stop(self, plugin_id: str) -> None:  # noqa: D102 - said in the interface
        self._end_of(plugin_id).bell.ring(STOP)

    def clean_up_after(self, pid: int) -> None:  # noqa: D102 - said in the interface
        with translated(f"clean up after process {pid}"):
            clean_up_after(pid, self._domain, self._open_services().config)

    def _end_of(self, plugin_id: str) -> PluginEnd:
        self._require_open()
        end = self._plugins.get(plugin_id)
        if end is None:
            raise TransportError(f"plugin {plugin_id} was not added to these ports")
        return end

    def _open_services(self) -> Services:
        self._require_open()
        assert self._services is not None
        return self._services

    def _close_ports(self) -> None:
        for end in self._plugins.values():
            end.close()
        self._plugins.clear()
        self._publisher.delete()
        self._services = None
