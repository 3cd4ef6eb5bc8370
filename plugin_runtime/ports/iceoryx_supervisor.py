"""The supervisor's end of the iceoryx2 ports."""

import ctypes
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.base import ReceivedEvent, ReceivedFrame, ResponseStream, SupervisorPorts
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import (
    Bell,
    IceoryxPorts,
    Services,
    copy_event,
    fill,
    require_shared_memory,
    translated,
    view_of,
)
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.names import PluginWake, credit_wake

__all__ = ["IceoryxSupervisorPorts"]

REQUEST_SLICE = 64 * 1024
EVENT_SLICE = 512
ROOM_FOR_PLUGIN = 1 << 20
"""Bytes of shared memory that the services of one plugin take, with what its first small responses take."""
CLEANING_TIME_LIMIT_MS = 500
HEADER_SIZE = ctypes.sizeof(TaskResponseHeader)


class IceoryxResponses(ResponseStream):
    """The pending response of one request."""

    def __init__(self, task_id: int, pending: Any, plugin: Bell) -> None:  # noqa: ANN401 - iceoryx2 has no types
        self._credit = credit_wake(task_id)
        self._pending = pending
        self._plugin = plugin
        self._held: Any = None

    def receive(self) -> ReceivedFrame | None:
        self._release()
        with translated("receive a response"):
            response = self._pending.receive()
            if response is None:
                return None
            self._held = response
            header = TaskResponseHeader.from_buffer_copy(ctypes.string_at(response.user_header_ptr, HEADER_SIZE))
            size = response.header.number_of_elements
            return ReceivedFrame(header, view_of(response.payload_ptr, size) if size else b"")

    def grant(self) -> None:
        self._plugin.ring(self._credit)

    def close(self) -> None:
        if self._pending is None:
            return
        # A pending response that is deleted with unread responses spoils its channel for later requests.
        while self.receive() is not None:
            pass
        self._pending.delete()
        self._pending = None

    def _release(self) -> None:
        if self._held is not None:
            self._held.delete()
            self._held = None


@dataclass(slots=True)
class PluginEnd:
    """What the supervisor holds of one plugin: its services, so that they are whole for it, and the ports on them."""

    client: Any
    subscriber: Any
    bell: Bell
    held_services: tuple[Any, ...]


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
        self._services = Services(domain)
        self._domain = domain
        with translated("publish the supervisor's events"):
            self._publisher = (
                self._services.daemon_events()
                .publisher_builder()
                .initial_max_slice_len(EVENT_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
        self._plugins: dict[str, PluginEnd] = {}
        super().__init__(self._services.daemon_notify())

    def add_plugin(self, plugin_id: str) -> None:  # noqa: D102 - said in the interface
        require_shared_memory(ROOM_FOR_PLUGIN)
        services = self._services
        tasks, events = services.tasks(plugin_id), services.plugin_events(plugin_id)
        results, notify = services.results(plugin_id), services.plugin_notify(plugin_id)
        with translated(f"open the ports of plugin {plugin_id}"):
            client = (
                tasks.client_builder()
                .initial_max_slice_len(REQUEST_SLICE)
                .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                .create()
            )
            subscriber = events.subscriber_builder().create()
        self._plugins[plugin_id] = PluginEnd(client, subscriber, Bell(notify), (tasks, events, results, notify))

    def send_request(  # noqa: D102 - said in the interface
        self, plugin_id: str, header: TaskRequestHeader, payload: bytes
    ) -> ResponseStream:
        end = self._plugins[plugin_id]
        require_shared_memory(len(payload))
        with translated(f"send a request to plugin {plugin_id}"):
            loan = end.client.loan_slice_uninit(len(payload))
            ctypes.memmove(loan.user_header_ptr, ctypes.byref(header), ctypes.sizeof(header))
            fill(loan.payload_ptr, (payload,), len(payload))
            pending = loan.assume_init().send()
            connections = pending.number_of_server_connections
            # The first receive empties the channel of what an earlier request may have left in it.
            stale = pending.receive()
            if stale is not None:
                stale.delete()
        if not connections:
            pending.delete()
            raise PeerGone(f"plugin {plugin_id} does not serve tasks: the request was delivered to nobody")
        end.bell.ring(PluginWake.TASK)
        return IceoryxResponses(header.task_id, pending, end.bell)

    def receive_event(self, plugin_id: str) -> ReceivedEvent | None:  # noqa: D102 - said in the interface
        with translated(f"receive an event of plugin {plugin_id}"):
            sample = self._plugins[plugin_id].subscriber.receive()
        return None if sample is None else copy_event(sample)

    def publish_event(self, header: EventHeader, payload: bytes) -> None:  # noqa: D102 - said in the interface
        require_shared_memory(len(payload))
        with translated("publish an event"):
            loan = self._publisher.loan_slice_uninit(len(payload))
            ctypes.memmove(loan.user_header_ptr, ctypes.byref(header), ctypes.sizeof(header))
            fill(loan.payload_ptr, (payload,), len(payload))
            loan.assume_init().send()
        for end in self._plugins.values():
            end.bell.ring(PluginWake.DAEMON_EVENT)

    def clean_up_after(self, pid: int) -> None:  # noqa: D102 - said in the interface
        with translated(f"clean up after process {pid}"):
            for state in iox.Node.list(iox.ServiceType.Ipc, self._services.config):
                if isinstance(state, iox.NodeState.Dead) and state[0].id.pid(iox.ServiceType.Ipc) == pid:
                    self._remove_dead_node(state[0])

    def _remove_dead_node(self, node: Any) -> None:  # noqa: ANN401 - iceoryx2 has no types
        try:
            node.blocking_remove_stale_resources(iox.Duration.from_millis(CLEANING_TIME_LIMIT_MS))
        except Exception as error:
            # A process that was killed while its node was half made leaves one that iceoryx2 cannot clean. In a root
            # of our own nobody else needs its files.
            if self._domain.is_default:
                raise TransportError(f"cannot remove the dead node {node.id}: {error}") from error
            nodes = Path(self._domain.root, "nodes")
            for file in nodes.glob(f"{self._domain.prefix}{node.id.value}.node_monitor*"):
                file.unlink(missing_ok=True)
            shutil.rmtree(nodes / str(node.id.value), ignore_errors=True)

    def _close_ports(self) -> None:
        for end in self._plugins.values():
            end.client.delete()
            end.subscriber.delete()
            end.bell.close()
        self._plugins.clear()
        self._publisher.delete()
