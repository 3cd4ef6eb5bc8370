"""A plugin's loop on in-memory ports, and the supervisor's side of it in the test's own thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from plugin_runtime.context import Context
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.event import Event
from plugin_runtime.loop import PluginLoop
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import PluginPorts, ResponseStream, SupervisorPorts
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import (
    decode_error,
    decode_event,
    decode_file_ref,
    decode_progress,
    encode_event,
    encode_request,
)
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.health import decode_health
from plugin_runtime.wire.messages import (
    Cancel,
    DataFormat,
    EventKind,
    EventMessage,
    Execute,
    HealthAnswer,
    HealthQuestion,
    Hello,
    ResponseKind,
    TaskRequest,
)
from plugin_runtime.wire.names import beat_slot

ID = "some-plugin"
DEADLINE = 10.0
HELLO = Hello(1, "runtime 1", "0.10.0", "Plugin", "1.2.3", "nonce", frozenset({"credits"}))


class Scripted(Plugin):
    """Runs what a test gives it, and says what was called."""

    def __init__(self, **handlers: Callable[..., Any]) -> None:
        self.calls: list[str] = []
        self._handlers = handlers

    def _handle(self, name: str, *arguments: Any) -> Any:
        self.calls.append(name)
        handler = self._handlers.get(name)
        return None if handler is None else handler(*arguments)

    def on_start(self, config: dict[str, str]) -> Any:
        return self._handle("on_start", config)

    def on_task(self, ctx: Context) -> Any:
        return self._handle("on_task", ctx)

    def on_event(self, event: Event) -> Any:
        return self._handle("on_event", event)

    def on_stop(self) -> Any:
        return self._handle("on_stop")

    def health_check(self) -> Any:
        return self._handle("health_check")


class World:
    """What is outside of the ports: a signal, the supervisor's end."""

    def __init__(self) -> None:
        self.stop = False
        self.ended = False

    def stop_asked(self) -> bool:
        return self.stop

    def supervisor_ended(self) -> bool:
        return self.ended


@dataclass(slots=True)
class Task:
    """What the supervisor has got of one task."""

    task_id: int
    stream: ResponseStream
    reassembler: Reassembler
    results: list[tuple[str, DataFormat, bytes]] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    progress: list[tuple[float, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    frames: int = 0
    _data: bytearray = field(default_factory=bytearray)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.results]

    def receive(self, *, grant: bool = True) -> bool:
        """Take one frame; return False if there was none."""
        frame = self.stream.receive()
        if frame is None:
            return False
        self.frames += 1
        piece = self.reassembler.feed(frame.header, frame.payload)
        if piece.kind is ResponseKind.ERROR:
            self.error = decode_error(piece.data)
        elif piece.kind is ResponseKind.PROGRESS:
            update = decode_progress(piece.data)
            if update.warning:
                self.warnings.append(update.warning)
            else:
                self.progress.append((update.progress, update.message))
        elif piece.kind is ResponseKind.FILE_REF:
            self.files.append((piece.name, decode_file_ref(piece.data)))
        elif not piece.is_final:
            self._data += piece.data
            if piece.is_last:
                self.results.append((piece.name, piece.format, bytes(self._data)))
                self._data.clear()
        if grant:
            self.stream.grant()
        return True


class SupervisorEnd:
    """The supervisor's end of some ports."""

    def __init__(self, ports: SupervisorPorts) -> None:
        self.ports = ports
        self.events: list[EventMessage] = []
        self.pids: list[int] = []
        self.beats: list[int] = []

    def until(self, condition: Callable[[], bool]) -> None:
        """Take what comes until the condition holds; fail if that takes too long."""
        give_up_at = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up_at, "it did not come to that"
            self.ports.wait(0.05)
            for event_id, count in self.ports.take_wakes().items():
                if (slot := beat_slot(event_id)) is not None:
                    self.beats += [slot] * count
            self._take_events()

    def _take_events(self) -> None:
        while (event := self.ports.receive_event(ID)) is not None:
            self.events.append(decode_event(event.header, event.payload))
            self.pids.append(event.pid)

    def kinds(self) -> list[EventKind]:
        self._take_events()
        return [event.kind for event in self.events]

    def ready(self) -> None:
        """Wait until the plugin said that it is ready."""
        self.until(lambda: EventKind.PLUGIN_STARTED in self.kinds())

    def send(self, task_id: int = 1, path: str = "/nowhere", **config: str) -> Task:
        """Send a task."""
        request = Execute(task_id, TaskRequest(path, tuple(config.items())))
        return self.send_raw(*encode_request(request))

    def send_raw(self, header: TaskRequestHeader, payload: bytes) -> Task:
        stream = self.ports.send_request(ID, header, payload)
        return Task(header.task_id, stream, Reassembler(header.task_id))

    def cancel(self, task_id: int) -> None:
        self.ports.send_request(ID, *encode_request(Cancel(task_id))).close()

    def ask_health(self) -> ResponseStream:
        """Ask how the plugin is."""
        return self.ports.send_request(ID, *encode_request(HealthQuestion()))

    def answer(self, question: ResponseStream) -> HealthAnswer:
        """Wait for the answer to a question."""
        answers: list[HealthAnswer] = []

        def answered() -> bool:
            frame = question.receive()
            if frame is not None:
                answers.append(decode_health(frame.header, frame.payload))
            return bool(answers)

        self.until(answered)
        question.close()
        return answers[0]

    def health(self) -> HealthAnswer:
        """Ask how the plugin is, and wait for the answer."""
        return self.answer(self.ask_health())

    def tell(self, kind: EventKind, payload: bytes = b"", associated_id: int = 0, source: int = 0) -> None:
        """Publish an event."""
        self.ports.publish_event(*encode_event(EventMessage(kind, source, associated_id, payload)))

    def finish(self, task: Task, *, grant: bool = True) -> Task:
        """Take everything of a task up to its end."""

        def finished() -> bool:
            while task.receive(grant=grant):
                pass
            return task.reassembler.finished

        self.until(finished)
        return task

    def do(self, task_id: int = 1, **config: str) -> Task:
        """Send a task and take everything of it up to its end."""
        return self.finish(self.send(task_id, **config))


class Supervisor(SupervisorEnd):
    """A loop that runs on a thread of its own, and the supervisor's end of its ports."""

    def __init__(self, loop: PluginLoop, world: World, ports: SupervisorPorts, exchange: MemoryExchange) -> None:
        super().__init__(ports)
        self.loop = loop
        self.world = world
        self.exchange = exchange
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._run, name="malbox-test-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        self.exit_code = self.loop.run(self.world)

    def stop(self) -> int:
        """Shut the plugin down and return the exit code."""
        self.tell(EventKind.DAEMON_SHUTDOWN)
        return self.joined()

    def joined(self) -> int:
        """Wait for the loop's end and return the exit code."""
        self.until(lambda: not self._thread.is_alive())
        self._take_events()
        assert self.exit_code is not None
        return self.exit_code


@contextmanager
def running(
    plugin: Plugin,
    *,
    uses_credits: bool = True,
    extensions: bool = True,
    config: dict[str, str] | None = None,
    file_ref_threshold: int = 1 << 20,
    heartbeat: float | None = None,
    heartbeat_slot: int = 0,
    concurrency: int = 1,
    wrap: Callable[[PluginPorts], PluginPorts] = lambda ports: ports,
    **more: Any,
) -> Iterator[Supervisor]:
    """A plugin's loop that runs; it is shut down in the end, if it has not ended before."""
    environment = PluginEnvironment(
        plugin_id=ID,
        supervisor_pid=1 if extensions else None,
        config=config or {},
        file_ref_threshold=file_ref_threshold,
        heartbeat=heartbeat,
        heartbeat_slot=heartbeat_slot,
        concurrency=concurrency,
        **more,
    )
    exchange, world = MemoryExchange(uses_credits=uses_credits), World()
    with exchange.supervisor() as supervisor_ports, exchange.plugin(ID) as plugin_ports:
        supervisor_ports.add_plugin(ID, concurrency)
        loop = PluginLoop(plugin, wrap(plugin_ports), environment, HELLO)
        supervisor = Supervisor(loop, world, supervisor_ports, exchange)
        supervisor.start()
        try:
            yield supervisor
        finally:
            if supervisor.exit_code is None:
                supervisor.stop()
        supervisor.until(lambda: not loop.handlers_are_running)


def do(on_task: Callable[[Context], object], **options: Any) -> tuple[Task, list[EventKind]]:
    """Run one task with a handler, and return what came of it, and the events that the plugin published."""
    with running(Scripted(on_task=on_task), **options) as supervisor:
        supervisor.ready()
        task = supervisor.do(1)
        supervisor.until(lambda: len(supervisor.kinds()) > 1)
        assert supervisor.do(2).reassembler.finished  # the plugin lives on
        return task, supervisor.kinds()[1:2]
