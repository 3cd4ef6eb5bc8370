"""Takes the results of the plugins that are subscribed to, as far as there is room for them, and puts them together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from plugin_runtime.environment import Source
from plugin_runtime.errors import ProtocolError
from plugin_runtime.payload import IN_MEMORY_BYTES, ResultPayload
from plugin_runtime.ports.base import PluginPorts, ReceivedResult
from plugin_runtime.wire.messages import ResultPayloadKind
from plugin_runtime.wire.names import RESULT_TAKEN_BATCH, joined_wake, taken_wake
from plugin_runtime.wire.published import Published, PublishedReassembler, missed_between

__all__ = ["Arrived", "Subscriptions"]

MAX_WAITING = 256
"""Results that may wait for `on_event`; while there are more, or more bytes than `IN_MEMORY_BYTES`, none is taken."""

FRAMES_A_TURN = 16
"""Frames that are taken of one source before others have their turn."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A result that is whole.

    Attributes:
        plugin: The plugin that published it.
        task_id: The task it was pushed in.
        name: Its name.
        missed: How many of its publisher were missed before it.
        payload: Its data; to be closed by whoever is done with it.
    """

    plugin: str
    task_id: int
    name: str
    missed: int
    payload: ResultPayload


@dataclass(slots=True)
class Inflow:
    """What is known of one source; see `Subscriptions`."""

    source: Source
    reassembler: PublishedReassembler = field(default_factory=PublishedReassembler)
    payload: ResultPayload | None = None
    pid: int = 0
    last_sequence: int = 0
    missed: int = 0
    taken: int = 0
    joins: bool = True


class Subscriptions:
    """The results of all sources. For the loop's thread, but for `done`.

    Args:
        ports: The plugin's ports.
        sources: Who is subscribed to.
        warn: Takes what an operator should know.
    """

    def __init__(self, ports: PluginPorts, sources: Sequence[Source], warn: Callable[[str], None]) -> None:
        self._ports = ports
        self._inflows = [Inflow(source) for source in sources]
        self._warn = warn
        self._waiting: list[ResultPayload] = []
        self.has_more = False

    def join(self) -> None:
        """Have each source told that we are there, as soon as everything that it sent was taken."""
        for inflow in self._inflows:
            inflow.joins = True

    def take(self, *, everything: bool = False) -> list[Arrived]:
        """Take what has come, in the order of each source.

        Args:
            everything: Take also what there is no room for; it is bounded by the buffers in shared memory.

        Raises:
            TransportError: The ports failed.
        """
        self.has_more = False
        arrived: list[Arrived] = []
        for inflow in self._inflows:
            for _ in range(FRAMES_A_TURN * (4 if everything else 1)):
                if not everything and not inflow.reassembler.is_open and self._is_full():
                    break  # there is a word when there is room again
                received = self._ports.receive_result(inflow.source.id)
                if received is None:
                    self._is_empty(inflow)
                    break
                if (one := self._take_frame(inflow, received)) is not None:
                    self._waiting.append(one.payload)
                    arrived.append(one)
            else:
                self.has_more = True
        return arrived

    def close(self) -> None:
        """Let go of what came and was not handed to anybody."""
        for inflow in self._inflows:
            if inflow.payload is not None:
                inflow.payload.close()
                inflow.payload = None

    def _is_full(self) -> bool:
        self._waiting = [payload for payload in self._waiting if not payload.is_closed]
        return len(self._waiting) >= MAX_WAITING or sum(one.in_memory for one in self._waiting) >= IN_MEMORY_BYTES

    def _is_empty(self, inflow: Inflow) -> None:
        if inflow.joins or inflow.reassembler.lost_any:
            inflow.joins = inflow.reassembler.lost_any = False
            inflow.taken = 0
            self._ports.ring_plugin(inflow.source.id, joined_wake(inflow.source.slot))

    def _take_frame(self, inflow: Inflow, received: ReceivedResult) -> Arrived | None:
        if received.pid != inflow.pid:
            inflow.reassembler.restart()
            inflow.pid, inflow.last_sequence, inflow.joins = received.pid, 0, True
        try:
            piece = inflow.reassembler.feed(received.header, received.payload)
            return None if piece is None else self._take_piece(inflow, piece)
        except ProtocolError as error:
            self._warn(f"skipped a result of plugin {inflow.source.plugin}: {error}")
            return None
        finally:
            inflow.taken += 1
            if inflow.taken == RESULT_TAKEN_BATCH:
                inflow.taken = 0
                self._ports.ring_plugin(inflow.source.id, taken_wake(inflow.source.slot))

    def _take_piece(self, inflow: Inflow, piece: Published) -> Arrived | None:
        if piece.is_first:
            if inflow.payload is not None:  # the one before was never whole
                inflow.payload.close()
            inflow.payload = ResultPayload(piece.total_size, is_path=piece.kind is ResultPayloadKind.FILE_REF)
        payload = inflow.payload
        if payload is None:
            return None
        try:
            payload.add(piece.data)
        except OSError as error:
            payload.close()
            inflow.payload = None
            what = f"result {piece.name!r} of plugin {inflow.source.plugin}"
            self._warn(f"{what} is given up: cannot write it to a temporary file: {error.strerror}")
            return None
        if not piece.is_last:
            return None
        inflow.payload = None
        missed = missed_between(inflow.last_sequence, piece.sequence)
        inflow.last_sequence = piece.sequence
        if missed:
            inflow.reassembler.lost_any = True
        return Arrived(inflow.source.plugin, piece.task_id, piece.name, missed, payload)
