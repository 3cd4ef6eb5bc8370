"""What both ends of the iceoryx2 ports share: the node, the services as the protocol fixes them, the wait, the errors."""

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import SharedMemoryFull, TransportError, VersionMismatch
from plugin_runtime.ports.base import Ports, ReceivedEvent
from plugin_runtime.ports.domain import Domain
from plugin_runtime.wire.headers import EventHeader, ResultHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.messages import Buffer
from plugin_runtime.wire.names import (
    DAEMON_EVENTS_SERVICE,
    DAEMON_NOTIFY_SERVICE,
    RESPONSE_WINDOW,
    plugin_events_service,
    plugin_notify_service,
    results_service,
    tasks_service,
)

__all__ = [
    "SHARED_MEMORY_FOLDER",
    "Bell",
    "IceoryxPorts",
    "Services",
    "copy_event",
    "fill",
    "free_shared_memory",
    "require_shared_memory",
    "silence_log",
    "translated",
    "view_of",
]

SHARED_MEMORY_FOLDER = "/dev/shm"
MARGIN = 256 * 1024
"""Bytes of shared memory that stay free, for what iceoryx2 allocates beside the payloads."""

MAX_SUBSCRIBERS = 65
RESULT_BUFFER = 16
EVENT_BUFFER = 32
DAEMON_NOTIFIERS = 140
DAEMON_LISTENERS = 2
U8_SLICE = iox.Slice[ctypes.c_uint8]


def silence_log(*, verbose: bool) -> None:
    """Set what iceoryx2 prints to standard error: nothing short of a fatal error, or everything if `verbose`."""
    iox.set_log_level(iox.LogLevel.Debug if verbose else iox.LogLevel.Fatal)


def free_shared_memory() -> int:
    """Return how many bytes of shared memory are free on this machine."""
    status = os.statvfs(SHARED_MEMORY_FOLDER)
    return status.f_bavail * status.f_frsize


def require_shared_memory(size: int) -> None:
    """Check that `size` bytes can be written: iceoryx2 hands out memory that is not there, and the write is a SIGBUS.

    Raises:
        SharedMemoryFull: They cannot.
    """
    free = free_shared_memory()
    if free < size + MARGIN:
        raise SharedMemoryFull(
            f"no space in shared memory: {SHARED_MEMORY_FOLDER} has {free // 1024} KiB free, "
            f"{(size + MARGIN) // 1024} KiB are needed; remove what fills it or make it larger"
        )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an error of iceoryx2 in the block into a `TransportError` that says what could not be done."""
    try:
        yield
    except TransportError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        if "InCorruptedState" in text or "SystemInFlux" in text or "VersionMismatch" in text:
            raise VersionMismatch(
                f"cannot {what}: the service was made by another release of iceoryx2 than ours, "
                f"or its maker died while making it ({text})"
            ) from error
        if "ExceedsMaxSupported" in text or "ExceedsMaxNumberOf" in text:
            raise TransportError(f"cannot {what}: another process holds that place already ({text})") from error
        raise TransportError(f"cannot {what}: {text}") from error


def view_of(address: int, size: int) -> memoryview:
    """Return a view of `size` bytes at `address`. It keeps nothing alive: it is valid as long as its owner is."""
    return memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")


def fill(address: int, parts: tuple[Buffer, ...], size: int) -> None:
    """Copy `parts`, one after the other, to `address`, which has room for their `size` bytes together."""
    if not size:
        return
    target = view_of(address, size)
    offset = 0
    for part in parts:
        end = offset + len(part)
        target[offset:end] = part
        offset = end


def copy_event(sample: Any) -> ReceivedEvent:  # noqa: ANN401 - iceoryx2 has no types
    """Copy a sample of an event channel and release it."""
    with translated("read an event"):
        header = EventHeader.from_buffer_copy(ctypes.string_at(sample.user_header_ptr, ctypes.sizeof(EventHeader)))
        common = sample.header
        payload = ctypes.string_at(sample.payload_ptr, common.number_of_elements)
        pid = common.node_id.pid(iox.ServiceType.Ipc)
        sample.delete()
    return ReceivedEvent(header, payload, pid)


class Bell:
    """A notifier of one event service."""

    def __init__(self, factory: Any) -> None:  # noqa: ANN401 - iceoryx2 has no types
        with translated("open a bell"):
            self._notifier = factory.notifier_builder().create()
        self._ids: dict[int, Any] = {}

    def ring(self, event_id: int) -> None:
        """Wake whoever listens, with this event id. Nobody listening is no error."""
        event = self._ids.get(event_id)
        if event is None:
            event = self._ids[event_id] = iox.EventId.new(event_id)
        with translated("ring a bell"):
            self._notifier.notify_with_custom_event_id(event)

    def close(self) -> None:
        """Let go of the notifier."""
        self._notifier.delete()


class Services:
    """A node in a domain, and the services of the protocol opened through it with the protocol's quality of service."""

    def __init__(self, domain: Domain) -> None:
        config = iox.config.default() if not domain.is_default else iox.config.global_config()
        if not domain.is_default:
            config.global_cfg.root_path = iox.Path.new(domain.root)
            config.global_cfg.prefix = iox.FileName.new(domain.prefix)
        self.config = config
        with translated("make an iceoryx2 node"):
            self._node = (
                iox.NodeBuilder.new()
                .config(config)
                .signal_handling_mode(iox.SignalHandlingMode.Disabled)
                .create(iox.ServiceType.Ipc)
            )

    def _builder(self, name: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        return self._node.service_builder(iox.ServiceName.new(name))

    def _event(self, name: str, *, notifiers: int | None, listeners: int | None) -> Any:  # noqa: ANN401 - as above
        builder = self._builder(name).event()
        if notifiers is not None:
            builder = builder.max_notifiers(notifiers)
        if listeners is not None:
            builder = builder.max_listeners(listeners)
        with translated(f"open the service {name}"):
            return builder.open_or_create()

    def _channel(self, name: str, header: type[ctypes.Structure], buffer: int, *, overflow: bool) -> Any:  # noqa: ANN401
        builder = (
            self._builder(name)
            .publish_subscribe(U8_SLICE)
            .user_header(header)
            .max_publishers(1)
            .max_subscribers(MAX_SUBSCRIBERS)
            .subscriber_max_buffer_size(buffer)
            .enable_safe_overflow(overflow)
        )
        with translated(f"open the service {name}"):
            return builder.open_or_create()

    def tasks(self, plugin_id: str) -> Any:  # noqa: ANN401 - as above
        """Open the request-response service of a plugin's tasks."""
        name = tasks_service(plugin_id)
        builder = (
            self._builder(name)
            .request_response(U8_SLICE, U8_SLICE)
            .request_header(TaskRequestHeader)
            .response_header(TaskResponseHeader)
            .max_servers(1)
            .max_clients(1)
            .max_response_buffer_size(RESPONSE_WINDOW)
            .enable_safe_overflow_for_responses(False)
        )
        with translated(f"open the service {name}"):
            return builder.open_or_create()

    def results(self, plugin_id: str) -> Any:  # noqa: ANN401 - as above
        """Open a plugin's result channel."""
        return self._channel(results_service(plugin_id), ResultHeader, RESULT_BUFFER, overflow=False)

    def plugin_events(self, plugin_id: str) -> Any:  # noqa: ANN401 - as above
        """Open a plugin's event channel."""
        return self._channel(plugin_events_service(plugin_id), EventHeader, EVENT_BUFFER, overflow=True)

    def daemon_events(self) -> Any:  # noqa: ANN401 - as above
        """Open the supervisor's event channel."""
        return self._channel(DAEMON_EVENTS_SERVICE, EventHeader, EVENT_BUFFER, overflow=True)

    def plugin_notify(self, plugin_id: str) -> Any:  # noqa: ANN401 - as above
        """Open the event service that wakes a plugin."""
        return self._event(plugin_notify_service(plugin_id), notifiers=None, listeners=None)

    def daemon_notify(self) -> Any:  # noqa: ANN401 - as above
        """Open the event service that wakes the supervisor."""
        return self._event(DAEMON_NOTIFY_SERVICE, notifiers=DAEMON_NOTIFIERS, listeners=DAEMON_LISTENERS)


class IceoryxPorts(Ports):
    """A listener and watched descriptors on one WaitSet: the wait that both ends share."""

    def __init__(self, notify: Any) -> None:  # noqa: ANN401 - iceoryx2 has no types
        with translated("listen for wake-ups"):
            self._listener = notify.listener_builder().create()
            self._waitset = (
                iox.WaitSetBuilder.new()
                .signal_handling_mode(iox.SignalHandlingMode.Disabled)
                .create(iox.ServiceType.Ipc)
            )
            # A guard that is collected takes its attachment with it.
            self._listener_guard = self._waitset.attach_notification(self._listener)
        self._watched: dict[int, tuple[Any, Any]] = {}
        self._closed = False

    def wait(self, timeout: float | None) -> None:  # noqa: D102 - said in the interface
        with translated("wait for a wake-up"):
            if timeout is None:
                self._waitset.wait_and_process()
            else:
                self._waitset.wait_and_process_with_timeout(iox.Duration.from_secs_f64(max(timeout, 0.0)))

    def watch(self, fd: int) -> None:  # noqa: D102 - said in the interface
        with translated(f"watch the descriptor {fd}"):
            descriptor = iox.FileDescriptor.non_owning_new(fd)
            self._watched[fd] = (self._waitset.attach_notification_fd(descriptor), descriptor)

    def unwatch(self, fd: int) -> None:  # noqa: D102 - said in the interface
        watched = self._watched.pop(fd, None)
        if watched is not None:
            watched[0].delete()

    def take_wakes(self) -> Mapping[int, int]:  # noqa: D102 - said in the interface
        with translated("drain the wake-ups"):
            wakes: dict[int, int] = {}
            for activation in self._listener.try_wait():
                event_id = activation.id.as_value
                wakes[event_id] = wakes.get(event_id, 0) + activation.count
            return wakes

    def close(self) -> None:  # noqa: D102 - said in the interface
        if self._closed:
            return
        self._closed = True
        for fd in list(self._watched):
            self.unwatch(fd)
        self._listener_guard.delete()
        self._waitset.delete()
        self._listener.delete()
        self._close_ports()

    def _close_ports(self) -> None:
        """Let go of the ports that one end has beside the listener."""
        raise NotImplementedError
