"""Publishes a plugin's results for those that subscribe, and waits for them no longer than can be borne."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.wire.messages import Buffer, DataFormat
from plugin_runtime.wire.names import RESULT_TAKEN_BATCH, RESULT_WINDOW, PluginWake, joined_wake, taken_wake
from plugin_runtime.wire.published import MAX_SEQUENCE, published_frames

__all__ = ["SUBSCRIBER_PATIENCE_SECONDS", "NoSubscribers", "ResultPublisher"]

SUBSCRIBER_PATIENCE_SECONDS = 1.0
"""How long one result waits, in all, for subscribers that have no room. Then it goes on without them."""

FIRST_WORD_SECONDS = 0.05
"""How long the first result waits for subscribers to say that they are there, which takes them a millisecond."""

RESULT = int(PluginWake.RESULT)


@dataclass(slots=True)
class Listener:
    """A subscriber.

    Attributes:
        id: Its plugin's id.
        joined: The event id with which it says that it is there.
        taken: The event id with which it says that it took frames.
        is_there: Whether it ever said so; before that it gets what finds room and is not waited for.
        under_way: Frames that it was sent and has not taken, as far as is known.
        is_behind: Whether it was waited for in vain. It is not waited for again before it has taken everything.
    """

    id: str
    joined: int
    taken: int
    is_there: bool = False
    under_way: int = 0
    is_behind: bool = False

    @property
    def has_no_room(self) -> bool:
        """Whether it should be waited for."""
        return self.is_there and not self.is_behind and self.under_way >= RESULT_WINDOW


class NoSubscribers:
    """Takes the results of a plugin to which nobody subscribes, outside of its tasks.

    Args:
        warn: Takes what an operator should know; it is said once.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn: Callable[[str], None] | None = warn

    def publish(self, task_id: int, name: str, data: Buffer, data_format: DataFormat) -> None:
        """Say that it reaches nobody."""
        del data, data_format
        warn, self._warn = self._warn, None
        if warn is not None:
            warn(
                f"result {name!r} of task {task_id} reaches nobody: it was pushed outside of a task, and no plugin"
                " subscribes to this one; this is said once"
            )


class ResultPublisher:
    """Publishes results. Handlers do, on any thread; the loop's thread brings what the subscribers say.

    A subscriber that has no room is waited for, `SUBSCRIBER_PATIENCE_SECONDS` at most for a result. After that it is
    behind: it gets what finds room, learns how many results it missed, and is waited for again once it has caught up.

    Args:
        ports: The plugin's ports.
        listeners: Those that subscribe, by their slots.
        announce: Publishes the event that a result is there, with its name.
    """

    def __init__(self, ports: PluginPorts, listeners: Sequence[str], announce: Callable[[str], None]) -> None:
        self._ports = ports
        self._announce = announce
        self._listeners = [
            Listener(plugin_id, joined_wake(slot), taken_wake(slot)) for slot, plugin_id in enumerate(listeners)
        ]
        self._sending = threading.RLock()  # one result after the other
        self._changed = threading.Condition(threading.Lock())
        self._sequence = 0
        self._waits_for_words = False

    def greet(self) -> None:
        """Ask the subscribers that are there to say so."""
        self._waits_for_words = True
        for listener in self._listeners:
            self._ports.ring_plugin(listener.id, PluginWake.SOURCE)

    def take(self, wakes: Mapping[int, int]) -> None:
        """Take what the subscribers have said; for the loop's thread."""
        changed = False
        for listener in self._listeners:
            taken = wakes.get(listener.taken, 0) * RESULT_TAKEN_BATCH
            if taken or listener.joined in wakes:
                changed = True
                with self._changed:
                    left = 0 if listener.joined in wakes else max(0, listener.under_way - taken)
                    listener.under_way = left
                    listener.is_there = True
                    listener.is_behind = listener.is_behind and left >= RESULT_TAKEN_BATCH
        if changed:
            with self._changed:
                self._changed.notify_all()

    def publish(self, task_id: int, name: str, data: Buffer, data_format: DataFormat) -> None:
        """Publish a result; returns when its last frame is in shared memory.

        Raises:
            ResultRefused: Its name cannot travel.
            SharedMemoryFull: There is no room for it on this machine.
            TransportError: It could not be published.
        """
        with self._sending:
            if self._waits_for_words:
                self._waits_for_words = False
                with self._changed:
                    self._changed.wait_for(lambda: all(each.is_there for each in self._listeners), FIRST_WORD_SECONDS)
            patience = SUBSCRIBER_PATIENCE_SECONDS
            sequence = self._sequence % MAX_SEQUENCE + 1
            for number, frame in enumerate(published_frames(task_id, name, data, data_format, sequence)):
                self._sequence = sequence  # a name that cannot travel has no number
                if number and number % RESULT_TAKEN_BATCH == 0:
                    self._ring()
                patience = self._wait_for_room(patience)
                # Counted first: it may be taken, and that said, before this goes on.
                with self._changed:
                    for listener in self._listeners:
                        if listener.is_there and not listener.is_behind:
                            listener.under_way += 1
                self._ports.publish_result(frame)
            self._announce(name)
            self._ring()

    def _wait_for_room(self, patience: float) -> float:
        """Wait until everybody has room who is to be waited for; return the patience that is left for the result."""
        if not any(listener.has_no_room for listener in self._listeners):
            return patience
        self._ring()
        began = time.monotonic()
        with self._changed:
            has_room = self._changed.wait_for(lambda: not any(each.has_no_room for each in self._listeners), patience)
            if not has_room:
                for listener in self._listeners:
                    listener.is_behind |= listener.has_no_room
        return max(0.0, patience - (time.monotonic() - began))

    def _ring(self) -> None:
        for listener in self._listeners:
            self._ports.ring_plugin(listener.id, RESULT)
