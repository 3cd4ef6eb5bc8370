"""The exchanges of a task written straight on iceoryx2: what the supervisor and `plugin_runtime` are held against.

`Bare` is the client's end and starts the server's in a process of its own, which is this file run as a program. The
services, their quality of service and the headers are the protocol's; between them is nothing but calls of iceoryx2: no
ports, no codec, no thread, no check of anything.
"""

import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import iceoryx2 as iox

from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx_services import Services
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, IS_FINAL
from plugin_runtime.wire.messages import EventKind
from plugin_runtime.wire.names import CHUNK_SIZE, RESPONSE_WINDOW, DaemonWake, PluginWake, credit_wake

__all__ = ["Bare", "Kind", "Sink", "Times", "open_bare", "take_view"]

PLUGIN_ID = "bare"
TASK_ID = 1
REQUEST_BYTES = 12
"""What the request of a task with a short path and no configuration has."""

RING_TASK = iox.EventId.new(PluginWake.TASK)
RING_RESPONSE = iox.EventId.new(DaemonWake.RESPONSE)
RING_EVENT = iox.EventId.new(DaemonWake.EVENT)
RING_CREDIT = iox.EventId.new(credit_wake(TASK_ID))


class Kind(IntEnum):
    """What the server is asked for, as the request's type."""

    RESPONSE = 0  # the final response
    RESPONSE_AND_EVENT = 1  # the final response, and TaskCompleted after it, as the protocol has it
    STREAM = 2  # as many chunks of 1 MiB as the task's id says, the last one final
    LEAVE = 3  # the end of the process


class Times:
    """Seconds from before the request to its final response, and to the event after it, or the same without one."""

    def __init__(self, to_response: float, to_event: float) -> None:
        self.to_response = to_response
        self.to_event = to_event


class Sink(Protocol):
    """Takes a chunk, which is to be used before this returns."""

    def __call__(self, address: int, size: int, /) -> None:
        """Take the chunk of `size` bytes at `address`."""


def _wait_set(listener: Any) -> tuple[Any, Any]:  # noqa: ANN401 - iceoryx2 has no types
    waits = iox.WaitSetBuilder.new().signal_handling_mode(iox.SignalHandlingMode.Disabled).create(iox.ServiceType.Ipc)
    return waits, waits.attach_notification(listener)


class Bare:
    """The client: what the supervisor is to a plugin.

    Args:
        services: The services, which it makes before there is a server.

    Attributes:
        server_pid: The process of the server.
    """

    def __init__(self, services: Services) -> None:
        self.server_pid = 0
        plugin_notify, daemon_notify = services.plugin_notify(PLUGIN_ID), services.daemon_notify()
        self._client = services.tasks(PLUGIN_ID).client_builder().initial_max_slice_len(64 * 1024).create()
        self._events = services.plugin_events(PLUGIN_ID).subscriber_builder().create()
        self._bell = plugin_notify.notifier_builder().create()
        self._listener = daemon_notify.listener_builder().create()
        self._waits, self._guard = _wait_set(self._listener)

    def exchange(self, kind: Kind) -> Times:
        """Ask for the end of an empty task and wait for all of it."""
        began = perf_counter()
        pending = self._ask(kind, TASK_ID)
        answered = 0.0
        while not answered:
            self._wait()
            while (response := pending.receive()) is not None:
                if response.user_header().contents.flags & IS_FINAL:
                    answered = perf_counter()
                response.delete()
        pending.delete()
        if kind is not Kind.RESPONSE_AND_EVENT:
            return Times(answered - began, answered - began)
        while (event := self._events.receive()) is None:
            self._wait()
        announced = perf_counter()
        event.delete()
        return Times(answered - began, announced - began)

    def stream(self, chunks: int, sink: Sink) -> float:
        """Have so many chunks of 1 MiB streamed into `sink`; return the seconds from the request to the last one."""
        began = perf_counter()
        pending = self._ask(Kind.STREAM, chunks)
        is_final = False
        while not is_final:
            self._wait()
            while (response := pending.receive()) is not None:
                is_final = bool(response.user_header().contents.flags & IS_FINAL)
                sink(response.payload_ptr, response.header.number_of_elements)
                response.delete()
                self._bell.notify_with_custom_event_id(RING_CREDIT)
        pending.delete()
        return perf_counter() - began

    def leave(self) -> None:
        """Tell the server to end."""
        self._ask(Kind.LEAVE, TASK_ID)

    def _ask(self, kind: Kind, task_id: int) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        loan = self._client.loan_slice_uninit(REQUEST_BYTES)
        header = loan.user_header().contents
        header.task_id, header.request_type = task_id, kind
        ctypes.memset(loan.payload_ptr, 0, REQUEST_BYTES)
        pending = loan.assume_init().send()
        pending.receive()  # what an earlier request may have left in the channel
        self._bell.notify_with_custom_event_id(RING_TASK)
        return pending

    def _wait(self) -> None:
        self._waits.wait_and_process()
        self._listener.try_wait()


class Server:
    """The server: what a plugin is to the supervisor, on one thread."""

    def __init__(self, services: Services) -> None:
        self._server = (
            services.tasks(PLUGIN_ID)
            .server_builder()
            .initial_max_slice_len(CHUNK_SIZE)
            .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
            .backpressure_strategy(iox.BackpressureStrategy.DiscardData)
            .create()
        )
        self._events = services.plugin_events(PLUGIN_ID).publisher_builder().initial_max_slice_len(512).create()
        self._bell = services.daemon_notify().notifier_builder().create()
        self._listener = services.plugin_notify(PLUGIN_ID).listener_builder().create()
        self._waits, self._guard = _wait_set(self._listener)
        self._credits = RESPONSE_WINDOW
        self._chunk = bytearray(CHUNK_SIZE)

    def run(self) -> None:
        """Serve until told to leave."""
        while True:
            self._wait()
            while (request := self._server.receive()) is not None:
                header = request.user_header().contents
                task_id, kind = header.task_id, header.request_type
                if kind == Kind.LEAVE:
                    return
                if kind == Kind.STREAM:
                    self._stream(request, task_id)
                else:
                    self._respond(request, IS_FINAL, 0)
                request.delete()
                if kind == Kind.RESPONSE_AND_EVENT:
                    self._announce(task_id)

    def _stream(self, request: Any, chunks: int) -> None:  # noqa: ANN401 - iceoryx2 has no types
        for left in range(chunks - 1, -1, -1):
            while not self._credits:
                self._wait()
            self._credits -= 1
            self._respond(request, HAS_MORE_CHUNKS if left else IS_FINAL, CHUNK_SIZE)

    def _respond(self, request: Any, flags: int, size: int) -> None:  # noqa: ANN401 - iceoryx2 has no types
        loan = request.loan_slice_uninit(size)
        header = loan.user_header().contents
        header.task_id, header.flags = TASK_ID, flags
        if size:
            ctypes.memmove(loan.payload_ptr, (ctypes.c_char * size).from_buffer(self._chunk), size)
        loan.assume_init().send()
        self._bell.notify_with_custom_event_id(RING_RESPONSE)

    def _announce(self, task_id: int) -> None:
        loan = self._events.loan_slice_uninit(0)
        header = loan.user_header().contents
        header.event_type, header.associated_id = EventKind.TASK_COMPLETED, task_id
        loan.assume_init().send()
        self._bell.notify_with_custom_event_id(RING_EVENT)

    def _wait(self) -> None:
        self._waits.wait_and_process()
        for activation in self._listener.try_wait():
            if activation.id.as_value == credit_wake(TASK_ID):
                self._credits += activation.count


@contextmanager
def open_bare() -> Iterator[Bare]:
    """Start a server for the length of a block, in shared memory of its own."""
    with tempfile.TemporaryDirectory(prefix="mb") as root:
        domain = _domain(root)
        bare = Bare(Services(domain))
        server = subprocess.Popen([sys.executable, __file__, root], stdout=subprocess.PIPE)
        bare.server_pid = server.pid
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield bare
        finally:
            bare.leave()
            server.wait()
            server.stdout.close()
            for file in Path("/dev/shm").glob(f"{domain.prefix}*"):
                file.unlink(missing_ok=True)


def take_view(take: Callable[[memoryview], object]) -> Sink:
    """Return a sink that hands each chunk to `take` as a view of shared memory."""

    def sink(address: int, size: int) -> None:
        take(memoryview((ctypes.c_char * size).from_address(address)).cast("B"))

    return sink


def _domain(root: str) -> Domain:
    return Domain(root, f"{Path(root).name}_")


def _serve(root: str) -> None:
    server = Server(Services(_domain(root)))
    print("ready", flush=True)
    server.run()


if __name__ == "__main__":
    _serve(sys.argv[1])
