"""Every way a task can end, and when what a handler was given is over."""

import threading
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import DEADLINE, Scripted, do, running

from plugin_runtime.context import Context
from plugin_runtime.errors import ResultRefused, SharedMemoryFull, TaskCancelled
from plugin_runtime.event import Event
from plugin_runtime.ports.memory import MemoryRequest
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.messages import EventKind

MIB = 1 << 20


def test_a_task_cancelled_of_the_authors_own_making_is_an_error() -> None:
    def on_task(ctx: Context) -> None:
        raise TaskCancelled(f"task {ctx.task().id} bores me")

    task, events = do(on_task)
    assert task.error is not None
    assert "TaskCancelled: task 1 bores me" in task.error
    assert events == [EventKind.TASK_FAILED]


def raise_deep(depth: int) -> None:
    if depth:
        raise_deep(depth - 1)
    raise LookupError("no such section: ä\udcff")


def test_an_exception_is_the_tasks_error_with_the_authors_traceback() -> None:
    def on_task(ctx: Context) -> None:
        try:
            raise_deep(1)
        except LookupError as error:
            raise ValueError(f"task {ctx.task().id}") from error

    task, events = do(on_task)
    assert events == [EventKind.TASK_FAILED]
    assert task.error is not None
    lines = task.error.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: task 1"
    assert "LookupError: no such section: ä\\udcff" in lines
    assert "The above exception was the direct cause of the following exception:" in lines
    files = {line.split('"')[1] for line in lines if line.startswith('  File "')}
    assert files == {__file__, harness.__file__}


def test_an_exception_of_the_runtime_shows_the_authors_line_first() -> None:
    task, _ = do(lambda ctx: ctx.results().push_bytes("", b""))
    assert task.error is not None
    files = [line.split('"')[1] for line in task.error.splitlines() if line.startswith('  File "')]
    assert files[:3] == [harness.__file__, harness.__file__, __file__]
    assert Path(files[3]).name == "sink.py"
    assert task.error.splitlines()[-1].endswith("ResultRefused: The result's name is empty; give it one.")


def test_a_handler_that_cannot_be_called_says_so() -> None:
    class NoArguments(Scripted):
        def on_task(self) -> None:  # type: ignore[override] # the mistake that is made
            """Lack the context."""

    with running(NoArguments()) as supervisor:
        supervisor.ready()
        error = supervisor.do(1).error
    assert error is not None
    assert error.endswith("on_task() takes 1 positional argument but 2 were given")
    assert "handlers.py" not in error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(3), "the handler called sys.exit(3): a plugin ends when malbox tells it to"),
        (SystemExit(), "the handler called sys.exit(None)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("odd"), "GeneratorExit: odd"),
        (RecursionError("deep"), "RecursionError: deep"),
        (MemoryError(), "MemoryError"),
        (ExceptionGroup("several", [ValueError("a")]), "ExceptionGroup: several"),
    ],
    ids=repr,
)
def test_whatever_a_handler_raises_fails_the_task_and_nothing_else(error: BaseException, said: str) -> None:
    def on_task(ctx: Context) -> None:
        if ctx.task().id == 1:
            raise error

    task, events = do(on_task)
    assert task.error is not None
    assert said in task.error
    assert events == [EventKind.TASK_FAILED]


def test_a_context_is_over_when_its_handler_has_returned() -> None:
    kept: list[Context] = []
    with running(Scripted(on_task=kept.append)) as supervisor:
        supervisor.ready()
        supervisor.do(1)
        context = kept[0]
        sink: list[Any] = []
        for use in (
            context.task,
            context.results,
            context.raise_if_cancelled,
            lambda: context.cancelled,
            lambda: context.progress(0.5, "x"),
            lambda: context.warn("x"),
            lambda: context.emit_event(Event.task_created(1)),
            lambda: context.mark_collected("/x"),
        ):
            with pytest.raises(RuntimeError, match="valid only during on_task, which has returned"):
                sink.append(use())
        assert sink == []


def test_a_sink_is_over_when_its_handler_has_returned(tmp_path: Path) -> None:
    sinks: list[Any] = []
    with running(Scripted(on_task=lambda ctx: sinks.append(ctx.results()))) as supervisor:
        supervisor.ready()
        task = supervisor.do(1)
        sink = sinks[0]
        for use in (
            lambda: sink.push(PluginResult.bytes("x", b"")),
            lambda: sink.push_json("x", b"{}"),
            lambda: sink.push_bytes("x", b""),
            lambda: sink.push_file("x", tmp_path / "x"),
            lambda: sink.push_all([PluginResult.bytes("x", b"")]),
        ):
            with pytest.raises(RuntimeError, match="valid only during on_task, which has returned"):
                use()
        assert not task.receive()


def test_a_thread_that_outlives_its_handler_cannot_push_into_the_next_task() -> None:
    go_on, outcome = threading.Event(), list[BaseException]()
    threads: list[threading.Thread] = []

    def on_task(ctx: Context) -> None:
        sink = ctx.results()

        def push_later() -> None:
            assert go_on.wait(DEADLINE)
            try:
                sink.push_bytes("late", b"")
            except RuntimeError as error:
                outcome.append(error)

        threads.append(threading.Thread(target=push_later))
        threads[-1].start()

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        tasks = [supervisor.do(1), supervisor.do(2)]
        go_on.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert len(outcome) == 2
    assert [task.results for task in tasks] == [[], []]


def test_threads_of_a_handler_push_whole_results() -> None:
    def on_task(ctx: Context) -> None:
        def push(letter: str) -> None:
            for _ in range(3):
                ctx.results().push_bytes(letter, letter.encode() * (2 * MIB + 7))
                ctx.progress(0.5, letter)

        threads = [threading.Thread(target=push, args=(letter,)) for letter in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    task, _ = do(on_task)
    assert task.error is None
    assert sorted(task.names) == list("aaabbbccc")
    assert all(data == name.encode() * (2 * MIB + 7) for name, _, data in task.results)
    assert len(task.progress) == 9


@pytest.mark.parametrize("swallowed", [True, False])
def test_a_result_that_was_cut_off_is_no_success(swallowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real_send, left = MemoryRequest.send, iter([True, False, True])

    def send(self: MemoryRequest, frame: Frame) -> bool:
        if not next(left):
            raise SharedMemoryFull("no space in shared memory")
        return real_send(self, frame)

    again: list[BaseException] = []

    def on_task(ctx: Context) -> None:
        try:
            ctx.results().push_bytes("big", b"x" * 3 * MIB)
        except SharedMemoryFull:
            try:
                ctx.results().push_bytes("small", b"")
            except ResultRefused as error:
                again.append(error)
            if not swallowed:
                raise

    monkeypatch.setattr(MemoryRequest, "send", send)
    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.do(1)
        supervisor.until(lambda: EventKind.TASK_FAILED in supervisor.kinds())
    assert task.error is not None
    if swallowed:
        assert task.error == "result 'big' was cut off: no space in shared memory"
    else:
        assert task.error.endswith("SharedMemoryFull: no space in shared memory")
    assert task.results == []
    assert task.reassembler.open_result is not None
    assert [str(error) for error in again] == ["result 'big' was cut off: no space in shared memory"]


def test_an_event_that_a_handler_emits_is_published() -> None:
    def on_task(ctx: Context) -> None:
        ctx.emit_event(Event.sample_result_produced(5))
        ctx.emit_event(Event.plugin_result_available("me", "report"))

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        supervisor.do(1)
        supervisor.until(lambda: EventKind.TASK_COMPLETED in supervisor.kinds())
    assert [(event.kind, event.associated_id, event.payload) for event in supervisor.events[1:4]] == [
        (EventKind.SAMPLE_RESULT_PRODUCED, 5, b""),
        (EventKind.PLUGIN_RESULT_AVAILABLE, 0, b"me\0report"),
        (EventKind.TASK_COMPLETED, 1, b""),
    ]


def test_progress_is_clamped_and_a_warning_keeps_it() -> None:
    def on_task(ctx: Context) -> None:
        for fraction in (-1.0, 2, float("nan"), float("inf"), 0.5):
            ctx.progress(fraction, "ä")
        ctx.warn("w")

    task, _ = do(on_task)
    assert task.progress == [(0.0, "ä"), (1.0, "ä"), (0.0, "ä"), (1.0, "ä"), (0.5, "ä")]
    assert task.warnings == ["w"]


def test_mark_collected_takes_paths() -> None:
    task, _ = do(lambda ctx: [ctx.mark_collected(path) for path in ("/a", Path("/b"))])
    assert task.error is None
