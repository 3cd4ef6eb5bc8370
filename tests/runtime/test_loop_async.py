"""Handlers that are coroutines run on one event loop, on the handlers' thread."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from harness import DEADLINE, Scripted, do, running

from plugin_runtime.context import Context
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.messages import EventKind


def test_all_of_them_run_on_one_event_loop_and_one_thread() -> None:
    seen: list[tuple[str, int, str]] = []

    async def note(what: str) -> None:
        await asyncio.sleep(0)
        seen.append((what, id(asyncio.get_running_loop()), threading.current_thread().name))

    async def on_task(ctx: Context) -> None:
        await note("on_task")
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        ctx.results().push(PluginResult.json("r", 1))

    plugin = Scripted(
        on_start=lambda _: note("on_start"),
        on_task=on_task,
        on_event=lambda event: note(event.kind),
        on_stop=lambda: note("on_stop"),
    )
    with running(plugin) as supervisor:
        supervisor.ready()
        assert supervisor.do(1).names == ["r"]
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.until(lambda: len(seen) == 3)
        assert supervisor.do(2).error is None
    assert [what for what, _, _ in seen] == ["on_start", "on_task", "ConfigReloaded", "on_task", "on_stop"]
    assert len({(loop, thread) for _, loop, thread in seen}) == 1
    assert seen[0][2] == "malbox-handlers"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("inside"), "ValueError: inside"), (SystemExit(1), "sys.exit(1)"), (KeyboardInterrupt(), "Keyboard")],
    ids=repr,
)
def test_what_a_coroutine_raises_fails_the_task_and_nothing_else(error: BaseException, said: str) -> None:
    async def on_task(ctx: Context) -> None:
        await asyncio.sleep(0)
        if ctx.task().id == 1:
            raise error

    task, events = do(on_task)
    assert task.error is not None
    assert said in task.error
    assert events == [EventKind.TASK_FAILED]
    if isinstance(error, ValueError):
        files = {line.split('"')[1] for line in task.error.splitlines() if line.startswith('  File "')}
        assert files == {__file__}


def test_a_cancel_ends_a_coroutine_that_pushes() -> None:
    cleaned_up = threading.Event()

    async def on_task(ctx: Context) -> None:
        try:
            while True:
                ctx.progress(0.5, "x")
                await asyncio.sleep(0)
        finally:
            cleaned_up.set()

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive())
        supervisor.cancel(1)
        assert supervisor.finish(task).error == "the task was cancelled"
        assert cleaned_up.is_set()


def test_what_a_coroutine_left_running_goes_on_and_ends_with_the_plugin() -> None:
    outcome: list[str] = []
    generator_closed = threading.Event()

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            generator_closed.set()

    kept: list[object] = []

    async def on_start(_: dict[str, str]) -> None:
        kept.append(asyncio.create_task(background()))
        generator = numbers()
        kept.append(generator)
        assert await anext(generator) == 1

    with running(Scripted(on_start=on_start)) as supervisor:
        supervisor.ready()
        assert supervisor.do(1).error is None
        assert outcome == []
        assert supervisor.stop() == 0
        supervisor.until(lambda: not supervisor.loop.handlers_are_running)
    assert outcome == ["cancelled"]
    assert generator_closed.is_set()


def test_a_handler_may_return_any_awaitable() -> None:
    class Later:
        def __await__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - an iterator of the event loop's own
            yield from asyncio.sleep(0).__await__()
            done.set()

    done = threading.Event()
    task, _ = do(lambda _: Later())
    assert task.error is None
    assert done.is_set()


def test_on_stop_may_take_back_what_on_start_made() -> None:
    stack, closed = contextlib.AsyncExitStack(), threading.Event()

    async def on_stop() -> None:
        await stack.aclose()

    async def on_start(_: dict[str, str]) -> None:
        stack.callback(closed.set)

    with running(Scripted(on_start=on_start, on_stop=on_stop)) as supervisor:
        supervisor.ready()
        assert supervisor.stop() == 0
    assert closed.wait(DEADLINE)
