"""What both ends of the iceoryx2 ports share: samples, bells, the wait, and what its errors mean."""

import ctypes
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import SharedMemoryFull, TransportError, VersionMismatch
from plugin_runtime.ports.base import Ports, ReceivedEvent
from plugin_runtime.wire.headers import EventHeader, ResultHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.messages import Buffer

__all__ = [
    "EVENT_SLICE",
    "ROOM_FOR_PLUGIN",
    "SHARED_MEMORY_FOLDER",
    "Bell",
    "IceoryxPorts",
    "copy_event",
    "copy_out",
    "fill",
    "free_shared_memory",
    "publish",
    "require_shared_memory",
    "silence_log",
    "translated",
    "translation",
    "view_of",
    "write_header",
]

SHARED_MEMORY_FOLDER = "/dev/shm"
MARGIN = 256 * 1024
"""Bytes of shared memory that stay free, for what iceoryx2 allocates beside the payloads."""
FASTEST_FILL = 64e9
"""Bytes a second that nobody can write to shared memory: while that leaves room there is no need to look again."""
ROOM_FOR_PLUGIN = 1400 * 1024
"""Bytes of shared memory that the services of one plugin and its own ports on them take before it has said anything."""
EVENT_SLICE = 512
"""Bytes that an event's payload has at first; longer ones make it grow."""

ALONE_BELOW = 64 * 1024
"""Bytes below which a copy takes less time than letting other threads run beside it."""

# Any other way to a view of an address makes a type for each length there is.
_memory_from = ctypes.pythonapi.PyMemoryView_FromMemory
_memory_from.argtypes, _memory_from.restype = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int), ctypes.py_object
_WRITABLE = 0x200


_HEADERS = (TaskRequestHeader, TaskResponseHeader, EventHeader, ResultHeader)
# Arrays of as many bytes as a header has.
_BYTES = {size: ctypes.c_char * size for size in map(ctypes.sizeof, _HEADERS)}


class PyBuffer(ctypes.Structure):
    """Python's ``Py_buffer``: where an object's bytes are."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("_object", ctypes.c_void_p),
        ("size", ctypes.c_ssize_t),
        ("_item_size", ctypes.c_ssize_t),
        ("_read_only", ctypes.c_int),
        ("_dimensions", ctypes.c_int),
        ("_pointers", ctypes.c_void_p * 5),
    )


_get_buffer, _release_buffer = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
_get_buffer.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_release_buffer.argtypes, _release_buffer.restype = (ctypes.c_void_p,), None


def silence_log(*, verbose: bool) -> None:
    """Set what iceoryx2 logs: nothing short of a fatal error, or everything if `verbose`.

    It logs through Python's `logging`, each line under a name of its own, so that only the level of the root lets its
    lines pass: `verbose` sets that, and sends to standard error what nobody has sent elsewhere.
    """
    iox.set_log_level(iox.LogLevel.Debug if verbose else iox.LogLevel.Fatal)
    if verbose:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger().setLevel(logging.DEBUG)


def free_shared_memory() -> int:
    """Return how many bytes of shared memory are free on this machine."""
    status = os.statvfs(SHARED_MEMORY_FOLDER)
    return status.f_bavail * status.f_frsize


def require_shared_memory(size: int) -> None:
    """Check that `size` bytes can be written: iceoryx2 hands out memory that is not there, and the write is a SIGBUS.

    Raises:
        SharedMemoryFull: They cannot.
    """
    now = time.monotonic()
    if _last_look.free - (now - _last_look.at) * FASTEST_FILL > size + MARGIN:
        return
    free = free_shared_memory()
    _last_look.free, _last_look.at = free, now
    if free < size + MARGIN:
        raise SharedMemoryFull(
            f"no space in shared memory: {SHARED_MEMORY_FOLDER} has {free // 1024} KiB free, "
            f"{(size + MARGIN) // 1024} KiB are needed; remove what fills it or make it larger"
        )


@dataclass(slots=True)
class Look:
    """How many bytes were free, and when that was looked up."""

    free: int = 0
    at: float = 0.0


_last_look = Look()


def translation(what: str, error: Exception) -> TransportError:
    """Return what is to be raised for an error of iceoryx2; `what` says what could not be done."""
    if isinstance(error, TransportError):
        return error
    text = str(error) or type(error).__name__
    if "InCorruptedState" in text or "SystemInFlux" in text or "VersionMismatch" in text:
        return VersionMismatch(
            f"cannot {what}: the service was made by another release of iceoryx2 than ours, "
            f"or its maker died while making it ({text})"
        )
    if "ExceedsMaxSupported" in text or "ExceedsMaxNumberOf" in text:
        return TransportError(f"cannot {what}: another process holds that place already ({text})")
    return TransportError(f"cannot {what}: {text}")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an error of iceoryx2 in the block into a `TransportError` that says what could not be done.

    It costs a microsecond; what happens with every frame uses `translation`.
    """
    try:
        yield
    except Exception as error:
        raise translation(what, error) from error


def view_of(address: int, size: int) -> memoryview:
    """Return a view of `size` bytes at `address`. It keeps nothing alive: it is valid as long as its owner is."""
    view: memoryview = _memory_from(address, size, _WRITABLE)
    return view


def fill(address: int, parts: tuple[Buffer, ...], size: int) -> None:
    """Copy `parts`, one after the other, to `address`, which has room for their `size` bytes together."""
    if not size:
        return
    target = view_of(address, size)
    offset = 0
    for part in parts:
        end = offset + len(part)
        if end - offset < ALONE_BELOW:
            target[offset:end] = part
        else:
            _copy_beside_others(address + offset, part)
        offset = end


def _copy_beside_others(address: int, part: Buffer) -> None:
    """Copy while other threads run: the loop takes credits meanwhile, and the handler need not wait for them."""
    source = PyBuffer()
    _get_buffer(part, ctypes.byref(source), 0)
    try:
        ctypes.memmove(address, source.address, source.size)
    finally:
        _release_buffer(ctypes.byref(source))


def write_header(address: int, header: ctypes.Structure) -> None:
    """Copy a header to `address`. A slice of this kind takes a fifth of the time of `ctypes.memmove`."""
    data = bytes(header)
    _BYTES[len(data)].from_address(address).raw = data


def copy_out(address: int, size: int) -> bytes:
    """Return a copy of `size` bytes at `address`."""
    return ctypes.string_at(address, size) if size else b""


def copy_event(sample: Any) -> ReceivedEvent:  # noqa: ANN401 - iceoryx2 has no types
    """Copy a sample of an event channel and release it."""
    with translated("read an event"):
        header = EventHeader.from_buffer_copy(EventHeader.from_address(sample.user_header_ptr))
        common = sample.header
        payload = copy_out(sample.payload_ptr, common.number_of_elements)
        pid: int = common.node_id.pid(iox.ServiceType.Ipc)
        sample.delete()
    return ReceivedEvent(header, payload, pid)


def publish(publisher: Any, header: EventHeader, payload: bytes) -> None:  # noqa: ANN401 - iceoryx2 has no types
    """Publish an event."""
    size = len(payload)
    require_shared_memory(size)
    try:
        loan = publisher.loan_slice_uninit(size)
        write_header(loan.user_header_ptr, header)
        fill(loan.payload_ptr, (payload,), size)
        loan.assume_init().send()
    except Exception as error:
        raise translation("publish an event", error) from error


class Bell:
    """A notifier of one event service."""

    def __init__(self, factory: Any) -> None:  # noqa: ANN401 - iceoryx2 has no types
        with translated("open a bell"):
            self._notifier = factory.notifier_builder().create()
        self._ids: dict[int, Any] = {}

    def ring(self, event_id: int) -> None:
        """Wake whoever listens, with this event id. Nobody listening is no error, nor is a bell that was closed."""
        event = self._ids.get(event_id)
        if event is None:
            event = self._ids[event_id] = iox.EventId.new(event_id)
        notifier = self._notifier
        if notifier is None:
            return
        try:
            notifier.notify_with_custom_event_id(event)
        except Exception as error:
            raise translation("ring a bell", error) from error

    def close(self) -> None:
        """Let go of the notifier."""
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.delete()


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
        self._require_open()
        try:
            if timeout is None:
                self._waitset.wait_and_process()
            else:
                self._waitset.wait_and_process_with_timeout(iox.Duration.from_secs_f64(max(timeout, 0.0)))
        except Exception as error:
            raise translation("wait for a wake-up", error) from error

    def watch(self, fd: int) -> None:  # noqa: D102 - said in the interface
        self._require_open()
        with translated(f"watch the descriptor {fd}"):
            descriptor = iox.FileDescriptor.non_owning_new(fd)
            self._watched[fd] = (self._waitset.attach_notification_fd(descriptor), descriptor)

    def unwatch(self, fd: int) -> None:  # noqa: D102 - said in the interface
        watched = self._watched.pop(fd, None)
        if watched is not None:
            watched[0].delete()

    def take_wakes(self) -> Mapping[int, int]:  # noqa: D102 - said in the interface
        self._require_open()
        wakes: dict[int, int] = {}
        # A notification that comes while iceoryx2 drains the listener can leave it so that no later one ends a wait,
        # about once in 200,000 times, until it is drained again. It is not so once nothing was found in it.
        while activations := self._try_wait():
            for activation in activations:
                event_id = activation.id.as_value
                wakes[event_id] = wakes.get(event_id, 0) + activation.count
        return wakes

    def _try_wait(self) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        try:
            return self._listener.try_wait()
        except Exception as error:
            raise translation("drain the wake-ups", error) from error

    def close(self) -> None:  # noqa: D102 - said in the interface
        if self._closed:
            return
        self._closed = True
        for fd in list(self._watched):
            self.unwatch(fd)
        self._close_ports()
        self._listener_guard.delete()
        self._waitset.delete()
        self._listener.delete()
        # A guard that was let go of still holds its listener, and that the node.
        self._listener_guard = self._waitset = self._listener = None

    def _require_open(self) -> None:
        # iceoryx2 aborts the process where a port that was let go of is used again.
        if self._closed:
            raise TransportError("these ports were closed")

    def _close_ports(self) -> None:
        """Let go of the ports that one end has beside the listener."""
        raise NotImplementedError
