"""The interface of the ports.

There are two ends. The supervisor's end is one `SupervisorPorts` for all plugins; a plugin's end is one `PluginPorts`.
Whoever sends also rings the reader's bell, inside the port, so that nobody can forget it. A bell carries no data and
may be coalesced: after a wake-up take the wakes, then drain every channel until it is empty.

Flow control of responses is one of two. With *credits* a plugin may have `RESPONSE_WINDOW` frames under way; the
supervisor gives one credit back (`ResponseStream.grant`) for each frame that it is done with, and the plugin counts
them as wakes of kind `credit_wake(task_id)`. Sending without a credit in hand loses the frame. *Blocking* is for a
supervisor that gives no credits: sending waits a moment for room, and says whether there was any.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import EventHeader, ResultHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.messages import Buffer
from plugin_runtime.wire.published import PublishedFrame

__all__ = [
    "SEND_PATIENCE_SECONDS",
    "IncomingRequest",
    "PluginPorts",
    "Ports",
    "ReceivedEvent",
    "ReceivedFrame",
    "ReceivedResult",
    "ResponseStream",
    "SupervisorPorts",
]

SEND_PATIENCE_SECONDS = 0.01
"""How long one `IncomingRequest.send` waits for room, so that whoever called it can look whether it still matters."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event as it arrived, with the process that sent it (0 where that is not known)."""

    header: EventHeader
    payload: bytes
    pid: int


@dataclass(slots=True)
class ReceivedFrame:
    """A response as it arrived. The header is a copy; the payload may point into shared memory.

    The payload is valid until the next `ResponseStream.receive` or `ResponseStream.close`: copy what is to stay.
    """

    header: TaskResponseHeader
    payload: Buffer


@dataclass(slots=True)
class ReceivedResult:
    """A frame of another plugin's result channel, with the process that sent it (0 where that is not known).

    The header is a copy; the payload may point into shared memory, and is valid until the next
    `PluginPorts.receive_result` from the same plugin: copy what is to stay.
    """

    header: ResultHeader
    payload: Buffer
    pid: int


class Ports(ABC):
    """What both ends have: a wait, the file descriptors that end it too, and a bell.

    `wait`, `watch` and `unwatch` belong to the thread that made the ports.
    """

    @abstractmethod
    def wait(self, timeout: float | None) -> None:
        """Block until a bell rings, a watched descriptor is readable or `timeout` seconds pass; None waits for ever.

        It may return for no reason. A signal may end it, and does not where it comes just before; one that has to end
        it is watched, through the descriptor of `signal.set_wakeup_fd`.

        Raises:
            TransportError: The wait failed.
        """

    @abstractmethod
    def watch(self, fd: int) -> None:
        """Let `wait` return while `fd` is readable. The wait is level-triggered; the descriptor stays the caller's."""

    @abstractmethod
    def unwatch(self, fd: int) -> None:
        """Undo `watch`; to be called before `fd` is closed. A descriptor that is not watched is ignored."""

    @abstractmethod
    def take_wakes(self) -> Mapping[int, int]:
        """Drain the bell: how often each event id was rung since the last call. Does not block."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. Closing twice is allowed; whatever sends afterwards raises `TransportError`.

        What was sent before can still be received by the other end, but for a first response or a first event that it
        has not yet received. To be called by the thread that made the ports.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class IncomingRequest(ABC):
    """A request that reached the plugin, and the way back for its responses.

    Any thread may use it, also while another one closes the ports: that closes the request too.
    """

    header: TaskRequestHeader
    payload: bytes

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether somebody is going to read what is sent: neither end has let go of the request."""

    @abstractmethod
    def send(self, frame: Frame) -> bool:
        """Send one frame and ring the supervisor.

        Returns:
            True, or False if nothing was sent because there was no room: with blocking flow control only, and after it
            waited `SEND_PATIENCE_SECONDS` for it. Other threads run meanwhile. Try again, or give up.

        Raises:
            PeerGone: One of both ends let go of the request: nobody is going to read what follows.
            SharedMemoryFull: There is no room for the frame on this machine.
            TransportError: It could not be sent.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the request: nothing more is sent. Closing twice is allowed."""


class PluginPorts(Ports):
    """The plugin's end. What publishes or rings may be called by any thread, all else by the one that made it.

    A plugin to whose results nobody subscribes has no result channel, and one that subscribes to nobody receives none.
    """

    @property
    @abstractmethod
    def uses_credits(self) -> bool:
        """Whether responses need a credit each; otherwise `IncomingRequest.send` blocks."""

    @abstractmethod
    def receive_request(self) -> IncomingRequest | None:
        """Return the next request, or None. Does not block."""

    @abstractmethod
    def receive_event(self) -> ReceivedEvent | None:
        """Return the supervisor's next event, or None. Does not block."""

    @abstractmethod
    def publish_event(self, header: EventHeader, payload: bytes) -> None:
        """Publish an event of this plugin and ring the supervisor. Never blocks: the oldest unread one gives way.

        Raises:
            SharedMemoryFull: There is no room for it on this machine.
            TransportError: It could not be sent.
        """

    @abstractmethod
    def publish_result(self, frame: PublishedFrame) -> None:
        """Publish a frame to all that subscribe, without ringing them. Never blocks: who has no room does not get it.

        Raises:
            SharedMemoryFull: There is no room for it on this machine.
            TransportError: It could not be sent, or these ports were made for a plugin without subscribers.
        """

    @abstractmethod
    def receive_result(self, source: str) -> ReceivedResult | None:
        """Return the next frame of a plugin that is subscribed to, or None; ends the frame before it. Never blocks.

        Raises:
            TransportError: It could not be received, or these ports were not made to subscribe to that plugin.
        """

    @abstractmethod
    def ring_plugin(self, plugin_id: str, event_id: int) -> None:
        """Ring a plugin that subscribes, or is subscribed to. One that does not listen does not hear it.

        Raises:
            TransportError: It could not be rung.
        """

    @abstractmethod
    def beat(self, slot: int) -> None:
        """Ring the supervisor with the heartbeat of a slot, which carries nothing else. Does not block.

        Raises:
            ValueError: There is no such slot.
            TransportError: It could not be rung.
        """


class ResponseStream(ABC):
    """The responses of one request, at the supervisor's end."""

    @abstractmethod
    def receive(self) -> ReceivedFrame | None:
        """Return the next response, or None where none has arrived yet. Does not block; ends the frame before it."""

    @abstractmethod
    def grant(self) -> None:
        """Give the plugin one credit back, and ring it. Does nothing for a plugin that counts none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the request; what has not been read is thrown away. Closing twice is allowed."""


class SupervisorPorts(Ports):
    """The supervisor's end, for all plugins."""

    @abstractmethod
    def add_plugin(self, plugin_id: str, concurrency: int = 1) -> None:
        """Make and hold every service of a plugin, so that it finds them whole when it starts.

        Args:
            plugin_id: The plugin.
            concurrency: How many tasks it is sent at once. Beside each there is room for the request to cancel it, and
                for a question after the plugin's health.

        Raises:
            SharedMemoryFull: There is no room for them on this machine.
            VersionMismatch: They are there, made by another release of iceoryx2.
            TransportError: They could not be made.
        """

    @abstractmethod
    def remove_plugin(self, plugin_id: str) -> None:
        """Let go of every service of a plugin, and of its requests; `add_plugin` makes them anew.

        To be called once its process has ended and was cleaned up after: what was not received is lost.

        Raises:
            TransportError: No plugin of that id was added.
        """

    @abstractmethod
    def send_request(self, plugin_id: str, header: TaskRequestHeader, payload: bytes) -> ResponseStream:
        """Send a request, ring the plugin, and return where its responses arrive.

        Raises:
            PeerGone: No plugin has its end open: the request was delivered to nobody. One that was killed counts as
                open until `clean_up_after`.
            SharedMemoryFull: There is no room for it on this machine.
            TransportError: It could not be sent, or no plugin of that id was added.
        """

    @abstractmethod
    def receive_event(self, plugin_id: str) -> ReceivedEvent | None:
        """Return the plugin's next event, or None. Does not block."""

    @abstractmethod
    def publish_event(self, header: EventHeader, payload: bytes) -> None:
        """Publish an event to every plugin, and ring them all.

        Raises:
            TransportError: It could not be sent.
        """

    @abstractmethod
    def ask_stop(self, plugin_id: str) -> None:
        """Ring one plugin with the word to stop. One that does not listen does not hear it, and that is no error.

        Raises:
            TransportError: It could not be rung, or no plugin of that id was added.
        """

    @abstractmethod
    def clean_up_after(self, pid: int) -> None:
        """Remove what the ended process `pid` left in shared memory, so that its plugin can be started again.

        To be called after what it had sent was drained: what was not read is lost.
        """
