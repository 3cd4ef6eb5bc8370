"""Coroutines of a plugin that works on several tasks at once run on one event loop, side by side."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable

import pytest
from harness import DEADLINE, Scripted, running

from plugin_runtime.context import Context
from plugin_runtime.errors import TaskCancelled
from plugin_runtime.health import HealthStatus
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.messages import EventKind, HealthAnswer

MANY = 4
CANCELLED = "the task was cancelled"


def test_all_of_them_run_on_one_event_loop_whichever_handler_it_is() -> None:
    seen: list[tuple[str, int, str]] = []

    async def note(what: str) -> None:
        await asyncio.sleep(0)
        seen.append((what, id(asyncio.get_running_loop()), threading.current_thread().name))

    async def check() -> HealthStatus:
        await note("health_check")
        return HealthStatus.Healthy()

    plugin = Scripted(
        on_start=lambda _: note("on_start"),
        on_task=lambda _: note("on_task"),
        on_event=lambda event: note(event.kind),
        on_stop=lambda: note("on_stop"),
        health_check=check,
    )
    with running(plugin, concurrency=MANY) as supervisor:
        supervisor.ready()
        assert supervisor.do(1).error is None
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.until(lambda: len(seen) == 3)
        assert supervisor.health() == HealthAnswer("healthy")
    assert [what for what, _, _ in seen] == ["on_start", "on_task", "ConfigReloaded", "health_check", "on_stop"]
    assert len({loop for _, loop, _ in seen}) == 1
    assert {thread for _, _, thread in seen} == {"malbox-event-loop"}


def test_they_run_side_by_side_with_what_on_start_opened() -> None:
    opened: list[asyncio.Barrier] = []

    async def on_start(_: dict[str, str]) -> None:
        opened.append(asyncio.Barrier(MANY))

    async def on_task(ctx: Context) -> None:
        async with asyncio.timeout(DEADLINE):
            await opened[0].wait()
        ctx.results().push(PluginResult.json("r", ctx.task().id))

    with running(Scripted(on_start=on_start, on_task=on_task), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(number) for number in range(1, MANY + 1)]
        assert [supervisor.finish(task).error for task in tasks] == [None] * MANY
    assert [task.results[0][2] for task in tasks] == [b"1", b"2", b"3", b"4"]


def test_context_variables_of_on_start_are_seen_and_those_of_a_task_are_its_own() -> None:
    variable = contextvars.ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def on_start(_: dict[str, str]) -> None:
        variable.set("of on_start")

    async def on_task(ctx: Context) -> None:
        seen.append(variable.get())
        variable.set(f"of task {ctx.task().id}")

    with running(Scripted(on_start=on_start, on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        supervisor.do(1)
        supervisor.do(2)
    assert seen == ["of on_start"] * 2


def test_a_cancel_reaches_the_one_it_is_for_wherever_it_awaits() -> None:
    begun, raised = list[int](), list[BaseException]()
    may_end = asyncio.Event()

    async def on_task(ctx: Context) -> None:
        begun.append(ctx.task().id)
        try:
            await may_end.wait()
        except BaseException as error:
            raised.append(error)
            assert ctx.cancelled
            await asyncio.sleep(0)  # cleaning up may await
            raise

    async def on_event(_: object) -> None:
        may_end.set()

    with running(Scripted(on_task=on_task, on_event=on_event), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = {number: supervisor.send(number) for number in range(1, MANY + 1)}
        supervisor.until(lambda: len(begun) == MANY)
        supervisor.cancel(3)
        assert supervisor.finish(tasks.pop(3)).error == CANCELLED
        supervisor.until(lambda: EventKind.TASK_CANCELED in supervisor.kinds())
        supervisor.tell(EventKind.CONFIG_RELOADED)
        assert [supervisor.finish(task).error for task in tasks.values()] == [None] * 3
    assert [type(error) for error in raised] == [asyncio.CancelledError]


def test_a_second_word_does_not_end_what_cleans_up() -> None:
    begun, cleaning, cleaned = threading.Event(), threading.Event(), threading.Event()

    async def on_task(_: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.05)
            cleaned.set()

    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.cancel(1)
        assert cleaning.wait(DEADLINE)
        supervisor.cancel(1)
        assert supervisor.stop() == 0
        assert supervisor.finish(task).error == CANCELLED
    assert cleaned.is_set()


def test_one_that_returns_after_its_cancel_was_seen_is_cancelled_all_the_same() -> None:
    begun = threading.Event()

    async def on_task(_: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.cancel(1)
        assert supervisor.finish(task).error == CANCELLED


async def cancelled_within() -> None:
    task = asyncio.create_task(asyncio.sleep(DEADLINE))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def exits() -> None:
    await asyncio.sleep(0)
    raise SystemExit(3)


async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("inside")


@pytest.mark.parametrize(
    ("handler", "said"),
    [(cancelled_within, "CancelledError"), (exits, "sys.exit(3)"), (fails, "ValueError: inside")],
    ids=["CancelledError of its own", "sys.exit", "ValueError"],
)
def test_what_a_coroutine_raises_fails_its_task_and_nothing_else(handler: object, said: str) -> None:
    may_end = asyncio.Event()
    begun = threading.Event()

    async def on_task(ctx: Context) -> None:
        if ctx.task().id == 1:
            assert callable(handler)
            await handler()
        begun.set()
        await may_end.wait()

    async def on_event(_: object) -> None:
        may_end.set()

    with running(Scripted(on_task=on_task, on_event=on_event), concurrency=2) as supervisor:
        supervisor.ready()
        beside = supervisor.send(2)
        assert begun.wait(DEADLINE)
        error = supervisor.do(1).error
        supervisor.tell(EventKind.CONFIG_RELOADED)
        assert supervisor.finish(beside).error is None
    assert error is not None
    assert said in error
    assert "plugin_runtime" not in error


def test_what_was_left_running_may_exit_without_ending_the_event_loop(capsys: pytest.CaptureFixture[str]) -> None:
    async def on_task(_: Context) -> None:
        kept.append(asyncio.create_task(exits()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        for number in range(1, 5):
            assert supervisor.do(number).error is None
        supervisor.until(lambda: all(task.done() for task in kept))
    assert len([task for task in kept if isinstance(task.exception(), SystemExit)]) == 4
    assert capsys.readouterr().err.count("what a handler left running failed: the handler called sys.exit(3)") == 4


def test_a_shutdown_cancels_all_of_them_and_then_runs_on_stop() -> None:
    begun, order = list[int](), list[str]()

    async def on_task(ctx: Context) -> None:
        begun.append(ctx.task().id)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("task ends")

    async def on_stop() -> None:
        order.append("on_stop")

    with running(Scripted(on_task=on_task, on_stop=on_stop), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(number) for number in range(1, MANY + 1)]
        supervisor.until(lambda: len(begun) == MANY)
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert [supervisor.finish(task).error for task in tasks] == [CANCELLED] * MANY
        assert supervisor.joined() == 0
    assert order == ["task ends"] * MANY + ["on_stop"]


def test_the_end_of_the_supervisor_cancels_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugin_runtime.loop.OWN_SAFETY_NET_SECONDS", 0.05)
    begun, ended = threading.Event(), threading.Event()

    async def on_task(_: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.world.ended = True
        assert supervisor.joined() == 1
    assert ended.is_set()


def test_a_push_that_waits_on_another_thread_leaves_the_event_loop_to_the_others() -> None:
    blocked, raised = threading.Event(), list[BaseException]()

    async def on_task(ctx: Context) -> None:
        if ctx.task().id != 1:
            ctx.results().push_bytes("r", b"x")
            return

        def push_for_ever() -> None:
            try:
                while True:
                    ctx.results().push_bytes("x", b"x")
                    blocked.set()
            except (TaskCancelled, RuntimeError) as error:  # the second where the task has ended before it pushes again
                raised.append(error)
                raise

        await asyncio.to_thread(push_for_ever)

    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert blocked.wait(DEADLINE)
        for number in range(2, 10):
            assert supervisor.do(number).names == ["r"]
        supervisor.cancel(1)
        assert supervisor.finish(task).error == CANCELLED
        supervisor.until(lambda: bool(raised))


def test_a_handler_may_return_any_awaitable() -> None:
    class Later:
        def __await__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - an iterator of the event loop's own
            yield from asyncio.sleep(0).__await__()
            done.set()

    def on_task(_: Context) -> Awaitable[None]:
        return Later()

    done = threading.Event()
    with running(Scripted(on_task=on_task), concurrency=2) as supervisor:
        supervisor.ready()
        assert supervisor.do(1).error is None
    assert done.is_set()
