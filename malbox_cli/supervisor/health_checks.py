"""The questions after the plugins' health that are under way: one to a plugin, and each answer an event."""

from collections.abc import Callable
from contextlib import suppress

from malbox_cli.supervisor.events import Event, HealthSaid
from plugin_runtime.errors import ProtocolError, TransportError
from plugin_runtime.ports.base import ResponseStream, SupervisorPorts
from plugin_runtime.wire.codec import encode_request
from plugin_runtime.wire.health import decode_health
from plugin_runtime.wire.messages import HealthAnswer, HealthQuestion

__all__ = ["HealthChecks"]


class HealthChecks:
    """The questions. A plugin that is busy answers when its task is over, and is not asked again before.

    Args:
        ports: Where questions are sent and answers arrive.
        handle: Takes what a plugin said.
    """

    def __init__(self, ports: SupervisorPorts, handle: Callable[[Event], None]) -> None:
        self._ports = ports
        self._handle = handle
        self._open: dict[str, ResponseStream] = {}

    @property
    def are_open(self) -> bool:
        """Whether an answer is awaited: `drain` has something to look at."""
        return bool(self._open)

    def ask(self, plugin_id: str) -> None:
        """Ask a plugin how it is, unless its last answer is still to come. One that is not there says nothing."""
        if plugin_id in self._open:
            return
        header, payload = encode_request(HealthQuestion())
        try:
            self._open[plugin_id] = self._ports.send_request(plugin_id, header, payload)
        except TransportError:
            return  # whether its process lives is known from elsewhere, and it is asked again

    def drain(self) -> None:
        """Hand on the answers that have come. One that makes no sense is that of a plugin that is not well."""
        for plugin_id, stream in list(self._open.items()):
            answer = self._received(stream)
            if answer is not None:
                self.forget(plugin_id)
                self._handle(HealthSaid(plugin_id, answer.level, answer.reason))

    def forget(self, plugin_id: str) -> None:
        """Let go of the question to a plugin, if there is one: nobody is left to answer it."""
        stream = self._open.pop(plugin_id, None)
        if stream is not None:
            with suppress(TransportError):  # what it still had to say is of no use to anybody
                stream.close()

    def close(self) -> None:
        """Let go of every question."""
        for plugin_id in list(self._open):
            self.forget(plugin_id)

    def _received(self, stream: ResponseStream) -> HealthAnswer | None:
        try:
            frame = stream.receive()
            return None if frame is None else decode_health(frame.header, frame.payload)
        except (ProtocolError, TransportError) as error:
            return HealthAnswer("unhealthy", str(error))
