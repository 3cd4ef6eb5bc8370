"""The plugins before and after the one under test: those whose results it gets, and one that gets its results."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from plugin_runtime.ports.memory import RESULT_BUFFER, MemoryExchange
from plugin_runtime.results import PluginResult
from plugin_runtime.testing.outcome import Pushed
from plugin_runtime.wire.messages import DataFormat
from plugin_runtime.wire.names import RESULT_TAKEN_BATCH, PluginWake, joined_wake, taken_wake
from plugin_runtime.wire.published import PublishedReassembler, published_frames

__all__ = ["DOWNSTREAM", "Neighbours"]

DOWNSTREAM = "after-plugin-under-test"


class Neighbours:
    """Publishes what the plugin under test gets, and takes what it publishes.

    Args:
        exchange: Where the ports meet.
        plugin_id: The plugin under test, whose ports are open.
        sources: Those whose results it gets.
        stack: Closes the ports.
    """

    def __init__(self, exchange: MemoryExchange, plugin_id: str, sources: Sequence[str], stack: ExitStack) -> None:
        self._plugin_id = plugin_id
        self._side = exchange.sides[plugin_id]
        self._before = {
            source: stack.enter_context(exchange.plugin(source, listeners=[plugin_id])) for source in sources
        }
        self._after = stack.enter_context(exchange.plugin(DOWNSTREAM, sources=[plugin_id]))
        self._after.ring_plugin(plugin_id, joined_wake(0))
        self._reassembler = PublishedReassembler()
        self._data = bytearray()
        self._frames = 0
        self._published = dict.fromkeys(sources, 0)

    def publish(
        self, source: str, task_id: int, result: PluginResult, until: Callable[[Callable[[], bool]], None]
    ) -> None:
        """Publish a result of a source; `until` waits for room.

        Raises:
            ValueError: The plugin under test does not subscribe to it.
        """
        ports = self._before.get(source)
        if ports is None:
            raise ValueError(f"the plugin does not subscribe to {source!r}: name it in PluginTester(subscribe=[...])")
        data = result.path.read_bytes() if result.path is not None else result.data
        data_format = DataFormat.JSON if result.kind == "json" else DataFormat.BYTES
        self._published[source] += 1
        for frame in published_frames(task_id, result.name, data, data_format, self._published[source]):
            until(lambda: len(self._side.results.get(source, ())) < RESULT_BUFFER)
            ports.publish_result(frame)
            ports.ring_plugin(self._plugin_id, PluginWake.RESULT)

    def take(self) -> list[Pushed]:
        """Take the results that are whole."""
        found = []
        while (received := self._after.receive_result(self._plugin_id)) is not None:
            piece = self._reassembler.feed(received.header, received.payload)
            if piece is not None:
                self._data += piece.data
                if piece.is_last:
                    is_json = piece.format is DataFormat.JSON
                    found.append(Pushed(piece.name, "json" if is_json else "bytes", bytes(self._data)))
                    self._data.clear()
            self._frames += 1
            if self._frames % RESULT_TAKEN_BATCH == 0:
                self._after.ring_plugin(self._plugin_id, taken_wake(0))
        return found
