"""Runs a plugin object in this process, on the runtime's own loop and codec, with a test in the supervisor's place."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike, fspath
from pathlib import Path

from plugin_runtime.environment import DEFAULT_FILE_REF_THRESHOLD, PluginEnvironment, Source
from plugin_runtime.event import Event
from plugin_runtime.health import HealthStatus
from plugin_runtime.loop import PluginLoop
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.memory import MemoryExchange, PluginSide
from plugin_runtime.results import PluginResult
from plugin_runtime.testing.collector import Collector
from plugin_runtime.testing.neighbours import DOWNSTREAM, Neighbours
from plugin_runtime.testing.outcome import Pushed, TaskRun
from plugin_runtime.testing.outside import StagedOutside
from plugin_runtime.testing.recorder import Recorder
from plugin_runtime.wire.codec import decode_event, encode_event, encode_request
from plugin_runtime.wire.health import decode_health
from plugin_runtime.wire.messages import (
    Cancel,
    EventKind,
    EventMessage,
    Execute,
    HealthAnswer,
    HealthQuestion,
    Hello,
    TaskRequest,
)
from plugin_runtime.wire.names import DaemonWake

__all__ = ["DEFAULT_TIMEOUT", "PluginTester", "RunningTask", "run_plugin"]

DEFAULT_TIMEOUT = 30.0
"""Seconds that a handler may take before a test is told that it has not ended."""

PATIENCE_AFTER_ERROR = 1.0
"""The same where a test that has failed already stops its plugin."""

LOOK_SECONDS = 0.1
"""How often a wait looks by itself at what nobody rings for, such as a loop that failed."""

PLUGIN = "plugin-under-test"
_ABOUT_ITSELF = {EventKind.PLUGIN_STARTED, EventKind.PLUGIN_STOPPED}

Sample = bytes | bytearray | str | PathLike[str]
"""A sample: its content as bytes, or the path of a file."""


class PluginTester:
    """A plugin that runs, as long as a ``with`` block does.

    Its handlers run on threads of their own, as they do in its process, with the same checks, encoding, flow control
    and order; only shared memory, the process and the supervisor are not there. Use it on one thread.

    Example:
        ```python
        with PluginTester(Hello(), config={"depth": "2"}) as tester:
            done = tester.run(b"a sample")
            assert done.outcome == "completed"
            assert done.result("size").json() == {"bytes": 8}
        ```

    Args:
        plugin: The plugin.
        config: What `on_start` gets; every task gets it too, with its own on top.
        concurrency: How many tasks it works on at once; more than 1 is what ``execution = "parallel"`` does.
        file_ref_threshold: Bytes above which `push_file` hands over the path; see ``[runtime.stash]``.
        timeout: Seconds that anything which is waited for may take.
        subscribe: The plugins whose results it gets; `result_of` sends them.

    Attributes:
        events: What the plugin published by `Context.emit_event`.
        passed_on: What other plugins would get of its results, with `subscribe`: those of its tasks, and what it pushed
            by `Event.results`.

    Raises:
        TypeError: This is no plugin.
    """

    def __init__(
        self,
        plugin: Plugin,
        *,
        config: Mapping[str, str] | None = None,
        concurrency: int = 1,
        file_ref_threshold: int = DEFAULT_FILE_REF_THRESHOLD,
        timeout: float = DEFAULT_TIMEOUT,
        subscribe: Sequence[str] = (),
    ) -> None:
        _require_plugin(plugin)
        self.passed_on: list[Pushed] = []
        self._sources = tuple(subscribe)
        self._neighbours: Neighbours | None = None
        self.events: list[Event] = []
        self._config = dict(config or {})
        self._timeout = timeout
        self._environment = PluginEnvironment(
            plugin_id=PLUGIN,
            supervisor_pid=1,  # any: it says that extensions are known, and is not looked at
            config=self._config,
            file_ref_threshold=file_ref_threshold,
            concurrency=concurrency,
            listeners=(DOWNSTREAM,) if self._sources else (),
            sources=tuple(Source(source, source, 0) for source in self._sources),
        )
        self._exchange = MemoryExchange()
        self._recorder = Recorder(plugin, lambda: self._exchange.daemon_bell.ring(DaemonWake.EVENT))
        self._plugin_name = type(plugin).__name__
        self._open: dict[int, Collector] = {}
        self._last_task = 0
        self._withheld = False
        self._has_started = self._has_stopped = False
        self._exit_code: int | None = None
        self._crash: BaseException | None = None
        self._folder: Path | None = None
        self._was_entered = self._is_open = False
        self._stack = ExitStack()

    def __enter__(self) -> "PluginTester":
        if self._was_entered:
            raise RuntimeError("a tester is for one with block; make another one")
        self._was_entered = True
        with ExitStack() as stack:
            self._open_ports(stack)
            self._thread.start()
            stack.callback(self._end_loop)
            self._until(lambda: self._has_started, "on_start has not returned")
            self._stack = stack.pop_all()
        self._is_open = True
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._is_open = False
        with self._stack:
            if error is None:
                self._stop(self._timeout)
            else:
                with suppress(Exception):  # the test has failed already, perhaps because a handler does not return
                    self._stop(PATIENCE_AFTER_ERROR)

    def run(self, sample: Sample, *, config: Mapping[str, str] | None = None, timeout: float | None = None) -> TaskRun:
        """Run one task to its end, and return what came of it. A handler that raises fails the task, and not the test.

        Args:
            sample: Bytes, or the path of a file.
            config: What is set on top of the plugin's configuration for this task.
            timeout: Seconds that it may take; by default the tester's.

        Raises:
            TimeoutError: It has not ended in time.
            ValueError: The sample is a folder, or there is no such file.
        """
        return self.start(sample, config=config).finish(timeout)

    def run_folder(
        self, folder: str | PathLike[str], *, pattern: str = "**/*", config: Mapping[str, str] | None = None
    ) -> list[TaskRun]:
        """Run a task for each file in and below a folder, sorted by path, and return what came of them.

        Raises:
            TimeoutError: One has not ended in time.
            ValueError: There is no such file.
        """
        files = sorted(path for path in Path(folder).glob(pattern) if path.is_file())
        if not files:
            raise ValueError(f"there is no file {pattern!r} in {fspath(folder)!r}")
        return [self.run(path, config=config) for path in files]

    def start(self, sample: Sample, *, config: Mapping[str, str] | None = None) -> "RunningTask":
        """Send a task, and return without waiting for it. Several may be under way.

        Raises:
            ValueError: The sample is a folder, or there is no such file.
        """
        self._require_open()
        path = self._sample_path(sample)
        self._last_task += 1
        settings = tuple({**self._config, **(config or {})}.items())
        request = encode_request(Execute(self._last_task, TaskRequest(str(path), settings)))
        run = TaskRun(self._last_task, path)
        self._open[run.task_id] = Collector(run, self._supervisor.send_request(PLUGIN, *request))
        return RunningTask(self, run)

    def event(self, event: Event, *, timeout: float | None = None) -> None:
        """Hand an event to `on_event`, and return when that has; what it raises is raised here.

        With one task at a time `on_event` has its turn after a task that runs.

        Raises:
            ValueError: It is the supervisor's shutdown, which comes with the end of the block.
            TimeoutError: `on_event` has not returned in time.
        """
        message = event.to_message()
        if message.kind is EventKind.DAEMON_SHUTDOWN:
            raise ValueError("a plugin does not see the shutdown in on_event; it stops at the end of the with block")
        self._require_open()
        wanted = self._recorder.events + 1
        self._tell(message)
        self._until(lambda: self._recorder.events >= wanted, "on_event has not returned", timeout)
        self._raise("on_event")

    def result_of(self, source: str, result: PluginResult, *, task_id: int = 1, timeout: float | None = None) -> None:
        """Hand a result of another plugin to `on_event`, and return when that has; what it raises is raised here.

        Args:
            source: The plugin, one of those in `subscribe`.
            result: What it pushed.
            task_id: The task in which it did.
            timeout: Seconds that `on_event` may take.

        Raises:
            ValueError: The plugin does not subscribe to it.
            TimeoutError: `on_event` has not returned in time.
        """
        self._require_open()
        if self._neighbours is None:
            raise ValueError(f"the plugin does not subscribe to {source!r}: name it in PluginTester(subscribe=[...])")
        wanted = self._recorder.events + 1
        self._neighbours.publish(
            source, task_id, result, lambda has_room: self._until(has_room, "results are not taken", timeout)
        )
        self._until(lambda: self._recorder.events >= wanted, "on_event has not returned", timeout)
        self._take()
        self._raise("on_event")

    def health(self, *, timeout: float | None = None) -> HealthStatus:
        """Ask the plugin how it is, as the supervisor does. A check that raises is unhealthy, with that as the reason.

        Raises:
            TimeoutError: It has not answered in time.
        """
        self._require_open()
        answers: list[HealthAnswer] = []
        question = self._supervisor.send_request(PLUGIN, *encode_request(HealthQuestion()))

        def answered() -> bool:
            if not answers and (frame := question.receive()) is not None:
                answers.append(decode_health(frame.header, frame.payload))
            return bool(answers)

        try:
            self._until(answered, "health_check has not returned", timeout)
        finally:
            question.close()
        level, reason = answers[0].level, answers[0].reason
        return HealthStatus(is_ready=level == "healthy", reason=reason, level=level)

    @contextmanager
    def slow_supervisor(self) -> Iterator[None]:
        """Take what is sent, and give no room for more, during a block: what a busy supervisor or a full disk does.

        A task can send four frames (a small result, a progress or a warning is one) and then waits in its next `push`,
        until the block ends or the task is cancelled. To wait for the end of a task inside of it would be for ever.
        """
        self._withheld = True
        try:
            yield
        finally:
            self._withheld = False
            self._take()

    def cancel(self, task_id: int) -> None:
        """Cancel a task."""
        self._supervisor.send_request(PLUGIN, *encode_request(Cancel(task_id))).close()

    def until(self, condition: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        """Take what the plugin sends until a condition holds.

        Args:
            condition: The condition, which is looked at whenever something has come.
            what: What the test waits for, for the error.
            timeout: Seconds that it may take; by default the tester's.

        Raises:
            TimeoutError: It has not come to that in time.
        """
        self._until(condition, f"still waiting for {what}", timeout)

    def has_ended(self, run: TaskRun) -> bool:
        """Return whether a task has ended, and nothing more of it can come."""
        return run.task_id not in self._open

    def _require_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the plugin does not run: a tester works inside of its with block")

    def _open_ports(self, stack: ExitStack) -> None:
        self._supervisor = stack.enter_context(self._exchange.supervisor())
        ports = stack.enter_context(
            self._exchange.plugin(PLUGIN, listeners=self._environment.listeners, sources=self._sources)
        )
        if self._sources:
            self._neighbours = Neighbours(self._exchange, PLUGIN, self._sources, stack)
        self._supervisor.add_plugin(PLUGIN, self._environment.concurrency)
        # A supervisor's buffer has room for 32 events; a test is to see all of them, however late it looks.
        side: PluginSide = self._exchange.sides[PLUGIN]
        side.events = type(side.events)()
        stack.callback(self._remove_samples)
        self._outside = StagedOutside(ports)
        stack.callback(self._outside.close)
        hello = Hello(1, "the test kit", "", self._plugin_name, "0.0.0", "", frozenset({"credits"}))
        self._loop = PluginLoop(self._recorder, ports, self._environment, hello)
        self._thread = threading.Thread(target=self._run_loop, name="malbox-test-loop", daemon=True)

    def _run_loop(self) -> None:
        try:
            self._exit_code = self._loop.run(self._outside)
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._crash = error
        self._exchange.daemon_bell.ring(DaemonWake.EVENT)

    def _stop(self, timeout: float) -> None:
        for task_id in self._open:
            self.cancel(task_id)
        self._tell(EventMessage(EventKind.DAEMON_SHUTDOWN))
        self._until(lambda: self._has_stopped or self._exit_code is not None, "on_stop has not returned", timeout)
        self._raise("on_stop")

    def _end_loop(self) -> None:
        """Make sure that the loop has ended, whatever its handlers do."""
        if not self._has_stopped and self._thread.is_alive():
            self._outside.end()
        self._thread.join(self._timeout)
        for collector in self._open.values():
            collector.close()

    def _until(self, condition: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        limit = self._timeout if timeout is None else timeout
        give_up_at = time.monotonic() + limit
        self._take()
        while not condition():
            left = give_up_at - time.monotonic()
            if self._crash is not None:
                raise self._crash
            if self._exit_code is not None:
                self._raise("on_start")
                raise RuntimeError(f"the plugin has ended: {what}")
            if left <= 0:
                raise TimeoutError(f"{what} after {limit:g} s")
            self._supervisor.wait(min(left, LOOK_SECONDS))
            self._supervisor.take_wakes()
            self._take()

    def _take(self) -> None:
        """Take everything that the plugin has sent."""
        if self._neighbours is not None:
            self.passed_on += self._neighbours.take()
        for collector in self._open.values():
            collector.receive(grant=not self._withheld)
        while (received := self._supervisor.receive_event(PLUGIN)) is not None:
            self._take_event(decode_event(received.header, received.payload))
        for collector in [collector for collector in self._open.values() if collector.has_ended]:
            run = collector.run
            run.exception = self._recorder.raised.pop(run.task_id, None)
            collector.close()
            del self._open[run.task_id]

    def _take_event(self, message: EventMessage) -> None:
        if message.kind in _ABOUT_ITSELF:
            self._has_started = True
            self._has_stopped |= message.kind is EventKind.PLUGIN_STOPPED
            return
        collector = self._open.get(message.associated_id)
        if collector is not None and collector.take_end(message.kind):
            return
        if message.kind is EventKind.PLUGIN_RESULT_AVAILABLE and self._neighbours is not None:
            return  # said in `passed_on`
        event = Event.from_message(message)
        self.events.append(event)
        for each in self._open.values():
            each.run.events.append(event)

    def _tell(self, message: EventMessage) -> None:
        self._supervisor.publish_event(*encode_event(message))

    def _raise(self, *handlers: str) -> None:
        """Raise what one of these handlers has raised."""
        for handler in handlers:
            if (error := self._recorder.raised.pop(handler, None)) is not None:
                raise error

    def _sample_path(self, sample: Sample) -> Path:
        if not isinstance(sample, bytes | bytearray):
            path = Path(sample).absolute()
            if path.is_dir():
                raise ValueError(f"the sample {str(path)!r} is a folder: use run_folder, or name a file in it")
            if not path.is_file():
                raise ValueError(f"there is no sample {str(path)!r}")
            return path
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="malbox-samples-"))
        path = self._folder / f"sample-{self._last_task + 1}"
        path.write_bytes(sample)
        return path

    def _remove_samples(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class RunningTask:
    """A task that was sent and perhaps has not ended; `PluginTester.start` makes it.

    Attributes:
        so_far: What has come of it; it grows whenever the test waits for something.
    """

    def __init__(self, tester: PluginTester, run: TaskRun) -> None:
        self.so_far = run
        self._tester = tester

    def until(self, condition: Callable[[TaskRun], object], timeout: float | None = None) -> None:
        """Wait until a condition is true of what has come of the task, such as ``lambda run: run.progress``.

        Raises:
            TimeoutError: It has not come to that in time.
            RuntimeError: The task has ended without.
        """

        def reached() -> bool:
            if condition(self.so_far):
                return True
            if self._tester.has_ended(self.so_far):
                raise RuntimeError(f"the task has ended before that: {_in_short(self.so_far)}")
            return False

        self._tester.until(reached, f"something of {_in_short(self.so_far)}", timeout)

    def cancel(self) -> None:
        """Cancel the task; the handler learns of it by `Context.cancelled`, or by what it pushes next."""
        self._tester.cancel(self.so_far.task_id)

    def finish(self, timeout: float | None = None) -> TaskRun:
        """Wait for its end, and return what came of it.

        Raises:
            TimeoutError: It has not ended in time.
        """
        run = self.so_far
        self._tester.until(lambda: self._tester.has_ended(run), f"the end of task {run.task_id}", timeout)
        return run


def _require_plugin(plugin: object) -> None:
    if not isinstance(plugin, Plugin):
        name = plugin.__name__ if isinstance(plugin, type) else type(plugin).__name__
        made = f"; write {name}()" if isinstance(plugin, type) else ""
        raise TypeError(f"{name} is no object of a class that derives from Plugin{made}")


def _in_short(run: TaskRun) -> str:
    counts = f"{len(run.results)} results, {len(run.progress)} times progress, {len(run.warnings)} warnings"
    return f"task {run.task_id}, {run.outcome}: {counts}" + (f"\n{run.error}" if run.error else "")


def run_plugin(
    plugin: Plugin,
    sample: Sample,
    *,
    config: Mapping[str, str] | None = None,
    file_ref_threshold: int = DEFAULT_FILE_REF_THRESHOLD,
    timeout: float = DEFAULT_TIMEOUT,
) -> TaskRun:
    """Start a plugin, run one task on a sample, stop it, and return what came of the task.

    Example:
        ```python
        done = run_plugin(Hello(), b"a sample")
        assert done.result("size").json() == {"bytes": 8}
        ```

    Args:
        plugin: The plugin.
        sample: Bytes, or the path of a file. What was made of bytes is removed before this returns.
        config: What `on_start` and the task get.
        file_ref_threshold: Bytes above which `push_file` hands over the path.
        timeout: Seconds that each handler may take.

    Raises:
        TimeoutError: A handler has not returned in time.
        ValueError: The sample is a folder, or there is no such file.
        TypeError: This is no plugin.
    """
    with PluginTester(plugin, config=config, file_ref_threshold=file_ref_threshold, timeout=timeout) as tester:
        return tester.run(sample)
