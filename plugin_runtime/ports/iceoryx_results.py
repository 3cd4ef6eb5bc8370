"""The result channels of a plugin: its own, for those that subscribe to it, and those that it subscribes to."""

import threading
from collections.abc import Sequence
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import TransportError
from plugin_runtime.ports.base import ReceivedResult
from plugin_runtime.ports.iceoryx import (
    Bell,
    fill,
    require_shared_memory,
    translated,
    translation,
    view_of,
    write_header,
)
from plugin_runtime.ports.iceoryx_services import RESULT_BUFFER, Services
from plugin_runtime.wire.headers import ResultHeader
from plugin_runtime.wire.names import CHUNK_SIZE
from plugin_runtime.wire.published import PublishedFrame

__all__ = ["ResultPorts"]

SAMPLES_FOR_LISTENER = RESULT_BUFFER + 2
"""Frames that one subscriber can hold: a full buffer, and those that it reads."""


class ResultPorts:
    """The ports. Publishing and ringing are for any thread, receiving and closing for the one that made them.

    Args:
        services: Where the channels are.
        plugin_id: Whose channel to publish on, where there is anybody to publish for.
        listeners: Those that subscribe.
        sources: Those that are subscribed to.

    Raises:
        TransportError: They could not be opened.
    """

    def __init__(self, services: Services, plugin_id: str, listeners: Sequence[str], sources: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._publisher: Any = None
        self._held: dict[str, Any] = {}
        with translated(f"open the result channels of plugin {plugin_id}"):
            if listeners:
                self._publisher = (
                    services.results(plugin_id)
                    .publisher_builder()
                    .initial_max_slice_len(CHUNK_SIZE)
                    .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
                    .backpressure_strategy(iox.BackpressureStrategy.DiscardData)
                    # What iceoryx2 would provide for is as many frames for each of 65 subscribers.
                    .override_sample_preallocation(len(listeners) * SAMPLES_FOR_LISTENER + 2)
                    .create()
                )
            self._subscribers = {
                source: services.results(source).subscriber_builder().create() for source in dict.fromkeys(sources)
            }
        self._bells = {
            other: Bell(services.plugin_notify(other)) for other in dict.fromkeys((*listeners, *self._subscribers))
        }

    def publish(self, frame: PublishedFrame) -> None:
        """Publish a frame; see `PluginPorts`."""
        size = frame.size
        require_shared_memory(size)
        with self._lock:
            if self._publisher is None:
                raise TransportError("cannot publish a result: nobody subscribes, or these ports were closed")
            try:
                loan = self._publisher.loan_slice_uninit(size)
                write_header(loan.user_header_ptr, frame.header)
                fill(loan.payload_ptr, frame.parts, size)
                loan.assume_init().send()
            except Exception as error:
                raise translation("publish a result", error) from error

    def receive(self, source: str) -> ReceivedResult | None:
        """Return the next frame of a source; see `PluginPorts`."""
        held = self._held.pop(source, None)
        if held is not None:
            held.delete()
        subscriber = self._subscribers.get(source)
        if subscriber is None:
            raise TransportError(f"cannot receive results of plugin {source}: it is not subscribed to")
        try:
            sample = subscriber.receive()
            if sample is None:
                return None
            self._held[source] = sample
            common = sample.header
            size = common.number_of_elements
            header = ResultHeader.from_buffer_copy(ResultHeader.from_address(sample.user_header_ptr))
            pid: int = common.node_id.pid(iox.ServiceType.Ipc)
            return ReceivedResult(header, view_of(sample.payload_ptr, size) if size else b"", pid)
        except Exception as error:
            raise translation(f"receive a result of plugin {source}", error) from error

    def ring(self, plugin_id: str, event_id: int) -> None:
        """Ring a plugin; see `PluginPorts`."""
        bell = self._bells.get(plugin_id)
        if bell is None:
            raise TransportError(f"cannot ring plugin {plugin_id}: nothing is shared with it")
        with self._lock:
            bell.ring(event_id)

    def close(self) -> None:
        """Let go of all of it."""
        for held in self._held.values():
            held.delete()
        self._held.clear()
        with self._lock:
            publisher, self._publisher = self._publisher, None
            if publisher is not None:
                publisher.delete()
            for bell in self._bells.values():
                bell.close()
        for subscriber in self._subscribers.values():
            subscriber.delete()
        self._subscribers.clear()
