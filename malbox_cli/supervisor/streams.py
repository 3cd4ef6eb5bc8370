"""The responses of the tasks that run: received no faster than they are dealt with, reassembled, and let go of."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from malbox_cli.store.results import ResultWriter
from malbox_cli.store.samples import open_regular_file
from malbox_cli.supervisor.actions import SendTask, StoreFile, StorePiece
from malbox_cli.supervisor.events import Event, ResponsesBroken, SendFailed, TaskSaid
from malbox_cli.supervisor.log_hub import Say
from plugin_runtime.errors import ProtocolError, TransportError, UnknownValue
from plugin_runtime.ports.base import ResponseStream, SupervisorPorts
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import encode_request
from plugin_runtime.wire.messages import Cancel, Execute
from plugin_runtime.wire.names import RESPONSE_WINDOW

__all__ = ["TaskStreams"]

MAX_UNSTORED = RESPONSE_WINDOW
"""How many frames of a task may wait for the disk, in our memory; further ones wait in shared memory."""

MAX_FRAMES_A_TURN = 16
"""How many frames of a task are received in one turn, so that one that streams does not keep the others waiting."""

MAX_FRAMES_A_DRAIN = 64
"""How many frames of all tasks are received in one turn, so that many that stream keep nothing else waiting."""

MAX_UNSTORED_BYTES = 64 << 20
"""Bytes of all tasks that may wait for the disk, in our memory, before each may have one frame there and no more."""


@dataclass(slots=True)
class OpenTask:
    """A task whose responses are awaited.

    Attributes:
        plugin_id: Whose task it is.
        stream: Where they arrive.
        reassembler: What holds them against each other.
        unstored: The frames that wait for the disk, in order: whether the plugin's credit waits with each, its size.
        has_results: Whether anything of it was handed to the writer.
        cancel: The request to cancel it, which is never answered.
    """

    plugin_id: str
    stream: ResponseStream
    reassembler: Reassembler
    unstored: deque[tuple[bool, int]] = field(default_factory=deque)
    has_results: bool = False
    cancel: list[ResponseStream] = field(default_factory=list)


class TaskStreams:
    """The open tasks.

    Args:
        ports: Where responses arrive.
        writer: Where results go.
        handle: Takes what happened.
        say: Takes what an operator should know.
    """

    def __init__(
        self,
        ports: SupervisorPorts,
        writer: ResultWriter,
        handle: Callable[[Event], None],
        say: Say,
    ) -> None:
        self._ports = ports
        self._writer = writer
        self._handle = handle
        self._say = say
        self._open: dict[int, OpenTask] = {}
        self._unfinished: set[int] = set()
        self._held: set[int] = set()
        self._unstored_bytes = 0
        self._overdue: dict[int, int] = {}

    @property
    def has_more(self) -> bool:
        """Whether frames may have arrived that no bell will tell of: `drain` is to be called without waiting."""
        return bool(self._unfinished)

    def send_task(self, action: SendTask) -> None:
        """Send a task to its plugin."""
        try:
            header, payload = encode_request(Execute(action.task_id, action.request))
            stream = self._ports.send_request(action.plugin_id, header, payload)
        except (TransportError, ValueError) as error:
            self._handle(SendFailed(action.task_id, str(error)))
        else:
            self._open[action.task_id] = OpenTask(action.plugin_id, stream, Reassembler(action.task_id))

    def send_cancel(self, task_id: int, plugin_id: str) -> None:
        """Ask a plugin to end a task. One that cannot be told is killed when its grace is over."""
        task = self._open.get(task_id)
        if task is None:
            return
        try:
            header, payload = encode_request(Cancel(task_id))
            task.cancel.append(self._ports.send_request(plugin_id, header, payload))
        except TransportError as error:
            self._say("warning", f"task {task_id}: cannot ask plugin {plugin_id} to cancel it: {error}")

    def drain(self) -> None:
        """Receive what has arrived, of each task no more than there is room for and no more than its turn's share.

        Where that is too much for one turn, the next one begins with those that had none in this.
        """
        left = MAX_FRAMES_A_DRAIN
        task_ids = list(self._open)
        for looked_at, task_id in enumerate(task_ids, 1):
            left -= self._drain_task(task_id, min(left, MAX_FRAMES_A_TURN))
            if not left and looked_at < len(task_ids):
                self._pass_on_the_turn(task_ids, looked_at)
                return

    def drain_dead(self, plugin_id: str) -> None:
        """Receive the last that a plugin had sent before it died: no more than its window."""
        for task_id in [task_id for task_id, task in self._open.items() if task.plugin_id == plugin_id]:
            self._drain_task(task_id, None)

    def grant(self, task_id: int) -> None:
        """Let the plugin send another frame."""
        task = self._open.get(task_id)
        if task is not None:
            self._give_back(task_id, task)

    def store(self, action: StorePiece) -> None:
        """Hand a piece of a result to the writer, and let the plugin send another frame."""
        self._writer.write(
            action.task_id,
            action.name,
            action.format,
            action.data,
            is_first=action.is_first,
            is_last=action.is_last,
        )
        if (task := self._open.get(action.task_id)) is not None:
            # What was copied has left the window: the next frame comes while this one is on its way to disk.
            task.has_results = True
            task.unstored.append((False, len(action.data)))
            self._unstored_bytes += len(action.data)
            self._give_back(action.task_id, task)

    def store_file(self, action: StoreFile) -> None:
        """Open a plugin's file, and hand it to the writer; the plugin may change the file only once it was copied."""
        if (task := self._open.get(action.task_id)) is not None:
            task.has_results = True
            task.unstored.append((True, 0))
        try:
            descriptor = open_regular_file(action.path)
        except OSError as error:
            # The answer waits its turn behind the results before it, as any other.
            why = f"cannot open {action.path}: {error.strerror or error}"
            self._writer.refuse(action.task_id, action.name, why)
        else:
            self._writer.copy(action.task_id, action.name, descriptor)

    def written(self, task_id: int) -> None:
        """Take note that a frame of a task is on disk: there is room for another."""
        if overdue := self._overdue.pop(task_id, 0):  # it is of an attempt before, and comes before all of the next
            if overdue > 1:
                self._overdue[task_id] = overdue - 1
            return
        task = self._open.get(task_id)
        if task is not None:
            credit_waits, size = task.unstored.popleft()
            self._no_longer_unstored(size)
            if credit_waits:
                self._give_back(task_id, task)
            self._drain_task(task_id, MAX_FRAMES_A_TURN)

    def close_task(self, task_id: int) -> None:
        """Let go of a task's responses."""
        task = self._open.pop(task_id, None)
        self._unfinished.discard(task_id)
        self._held.discard(task_id)
        if task is not None:
            if task.unstored:
                self._overdue[task_id] = self._overdue.get(task_id, 0) + len(task.unstored)
            self._no_longer_unstored(sum(size for _, size in task.unstored))
            for stream in (*task.cancel, task.stream):
                with suppress(TransportError):  # what it still had to say is of no use to anybody
                    stream.close()
            if task.has_results:
                self._writer.forget(task_id)

    def close(self) -> None:
        """Let go of everything."""
        for task_id in list(self._open):
            self.close_task(task_id)

    def _pass_on_the_turn(self, task_ids: list[int], looked_at: int) -> None:
        """Put the tasks that were looked at behind the others, which have their turn next."""
        for task_id in task_ids[:looked_at]:
            if (task := self._open.pop(task_id, None)) is not None:
                self._open[task_id] = task
        self._unfinished.update(task_id for task_id in task_ids[looked_at:] if task_id in self._open)

    def _no_longer_unstored(self, size: int) -> None:
        """Count what left our memory; where there is room again, those that waited for it have their turn."""
        self._unstored_bytes -= size
        if self._held and self._unstored_bytes < MAX_UNSTORED_BYTES:
            self._unfinished |= self._held
            self._held.clear()

    def _give_back(self, task_id: int, task: OpenTask) -> None:
        """Give a credit back. One that does not get there is missing to its task, which ends when its time is over."""
        try:
            task.stream.grant()
        except TransportError as error:
            self._say("warning", f"task {task_id}: {error}", task.plugin_id)

    def _drain_task(self, task_id: int, limit: int | None) -> int:
        """Receive up to `limit` frames while there is room for them; None: all there are, whether there is or not.

        Returns:
            How many it received.
        """
        self._unfinished.discard(task_id)
        received = 0
        while (task := self._open.get(task_id)) is not None:
            if limit is not None:
                if len(task.unstored) >= MAX_UNSTORED:
                    return received  # `written` goes on
                if task.unstored and self._unstored_bytes >= MAX_UNSTORED_BYTES:
                    self._held.add(task_id)
                    return received
                if received == limit:
                    self._unfinished.add(task_id)
                    return received
            try:
                frame = task.stream.receive()
            except TransportError as error:  # of one task: the others are none the worse for it
                self._handle(ResponsesBroken(task_id, str(error)))
                return received
            if frame is None:
                return received
            received += 1
            try:
                piece = task.reassembler.feed(frame.header, frame.payload)
            except UnknownValue as error:
                self._say("warning", f"task {task_id}: skipped a response: {error}")
                self._give_back(task_id, task)
            except ProtocolError as error:
                self._handle(ResponsesBroken(task_id, str(error)))
            else:
                self._handle(TaskSaid(piece))
        return received
