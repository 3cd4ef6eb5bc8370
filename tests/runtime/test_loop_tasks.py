"""What a handler pushes arrives as it is pushed, and no faster than it is taken; and a task can be ended."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE, Scripted, do, running

from plugin_runtime.context import Context
from plugin_runtime.errors import SupervisorGone, TaskCancelled
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.messages import DataFormat, EventKind
from plugin_runtime.wire.names import RESPONSE_WINDOW

MIB = 1 << 20
FLOW_CONTROLS = [pytest.param(True, id="credits"), pytest.param(False, id="blocking")]


def test_an_empty_task_is_one_frame_and_one_event() -> None:
    task, events = do(lambda _: None)
    assert (task.frames, task.error, task.results) == (1, None, [])
    assert events == [EventKind.TASK_COMPLETED]


def test_the_task_is_what_was_sent(tmp_path: Path) -> None:
    sample = tmp_path / "sämple"
    sample.write_bytes(b"MZ")
    seen: list[Any] = []

    def on_task(ctx: Context) -> None:
        task = ctx.task()
        seen.append((task.id, task.sample_path, task.config, task.config_value("k"), task.config_value("no")))
        seen.append(task.sample_bytes())

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        supervisor.finish(supervisor.send(2**31 - 1, str(sample), k="v", leer=""))
    assert seen == [(2**31 - 1, sample, {"k": "v", "leer": ""}, "v", None), b"MZ"]


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_what_is_pushed_arrives_before_the_handler_returns(uses_credits: bool) -> None:
    arrived = threading.Event()

    def on_task(ctx: Context) -> None:
        ctx.progress(0.25, "begun")
        ctx.results().push(PluginResult.json("first", {"n": 1}))
        ctx.warn("a warning")
        assert arrived.wait(DEADLINE)
        ctx.results().push_bytes("second", b"2")

    with running(Scripted(on_task=on_task), uses_credits=uses_credits) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive() and bool(task.warnings))
        assert task.progress == [(0.25, "begun")]
        assert task.results == [("first", DataFormat.JSON, b'{"n":1}')]
        arrived.set()
        supervisor.finish(task)
    assert task.names == ["first", "second"]
    assert task.warnings == ["a warning"]


def test_under_a_foreign_daemon_a_warning_goes_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    task, _ = do(lambda ctx: ctx.warn("no sections"), uses_credits=False, extensions=False)
    assert (task.frames, task.warnings) == (1, [])
    assert "warning: no sections\n" in capsys.readouterr().err


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_a_handler_waits_while_nobody_takes_what_it_pushes(uses_credits: bool) -> None:
    pushed: list[int] = []

    def on_task(ctx: Context) -> None:
        for index in range(10):
            ctx.results().push_bytes(str(index), b"x")
            pushed.append(index)

    with running(Scripted(on_task=on_task), uses_credits=uses_credits) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: len(pushed) == RESPONSE_WINDOW)
        assert task.receive()
        supervisor.until(lambda: len(pushed) == RESPONSE_WINDOW + 1)
        supervisor.finish(task)
    assert task.names == [str(index) for index in range(10)]


def push_for_ever(ctx: Context) -> None:
    while True:
        ctx.results().push_bytes("x", b"x" * 3 * MIB)


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_a_cancel_wakes_a_push_that_waits(uses_credits: bool) -> None:
    raised: list[BaseException] = []

    def on_task(ctx: Context) -> None:
        assert not ctx.cancelled
        ctx.raise_if_cancelled()
        try:
            push_for_ever(ctx)
        except BaseException as error:
            assert ctx.cancelled
            raised.append(error)
            raise

    with running(Scripted(on_task=on_task), uses_credits=uses_credits) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False) and task.frames == RESPONSE_WINDOW - 1)
        supervisor.cancel(1)
        supervisor.until(lambda: bool(raised))
        for _ in range(RESPONSE_WINDOW):
            task.stream.grant()
        supervisor.finish(task)
        supervisor.until(lambda: EventKind.TASK_CANCELED in supervisor.kinds())
        assert task.error == "the task was cancelled"
    assert [type(error) for error in raised] == [TaskCancelled]


def test_a_task_that_waits_for_its_turn_is_cancelled_without_being_run() -> None:
    may_end = threading.Event()
    plugin = Scripted(on_task=lambda _: may_end.wait(DEADLINE))
    with running(plugin) as supervisor:
        supervisor.ready()
        first, second = supervisor.send(1), supervisor.send(2)
        supervisor.cancel(2)
        supervisor.until(lambda: not supervisor.exchange.sides["some-plugin"].requests)
        may_end.set()
        assert supervisor.finish(first).error is None
        assert supervisor.finish(second).error == "the task was cancelled"
    assert plugin.calls.count("on_task") == 1


def test_a_handler_notices_a_cancel_without_pushing() -> None:
    def on_task(ctx: Context) -> None:
        give_up_at = time.monotonic() + DEADLINE
        while time.monotonic() < give_up_at:
            ctx.raise_if_cancelled()

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.cancel(1)
        assert supervisor.finish(task).error == "the task was cancelled"


@pytest.mark.parametrize(
    ("looks", "error"),
    [pytest.param(True, "the task was cancelled", id="noticed"), pytest.param(False, None, id="not")],
)
def test_what_a_handler_returns_after_a_cancel_counts_unless_it_noticed(looks: bool, error: str | None) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def on_task(ctx: Context) -> None:
        begun.set()
        assert may_end.wait(DEADLINE)
        assert not looks or ctx.cancelled

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.cancel(1)
        supervisor.until(lambda: not supervisor.exchange.sides["some-plugin"].requests)
        supervisor.until(lambda: supervisor.loop._channels[1].cancelled)
        may_end.set()
        assert supervisor.finish(task).error == error


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_a_shutdown_ends_a_handler_that_waits_for_room(uses_credits: bool) -> None:
    plugin = Scripted(on_task=push_for_ever)
    with running(plugin, uses_credits=uses_credits) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False) and task.frames == RESPONSE_WINDOW - 1)
        begun = time.monotonic()
        assert supervisor.stop() == 0
        assert time.monotonic() - begun < DEADLINE
    assert plugin.calls[-1] == "on_stop"


def test_a_shutdown_cancels_what_runs_and_says_so() -> None:
    begun = threading.Event()

    def on_task(ctx: Context) -> None:
        begun.set()
        give_up_at = time.monotonic() + DEADLINE
        while time.monotonic() < give_up_at:
            ctx.progress(0.5, "still at it")

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert supervisor.finish(task).error == "the task was cancelled"
        assert supervisor.joined() == 0
        assert supervisor.kinds()[-2:] == [EventKind.TASK_CANCELED, EventKind.PLUGIN_STOPPED]


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
@pytest.mark.parametrize("how", ["lets go", "is gone"])
def test_a_push_ends_when_the_supervisor_does_not_wait_any_more(
    uses_credits: bool, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin_runtime.channel.LOOK_SECONDS", 0.02)
    raised: list[BaseException] = []

    def on_task(ctx: Context) -> None:
        try:
            push_for_ever(ctx)
        except BaseException as error:
            raised.append(error)
            raise

    with running(Scripted(on_task=on_task), uses_credits=uses_credits) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False) and task.frames == RESPONSE_WINDOW - 1)
        if how == "is gone":
            supervisor.exchange.faults.disconnect = True
        else:
            task.stream.close()
        supervisor.until(lambda: bool(raised))
        supervisor.exchange.faults.disconnect = False
        assert supervisor.kinds() == [EventKind.PLUGIN_STARTED]
    assert [type(error) for error in raised] == [SupervisorGone]


def test_an_except_exception_of_the_author_does_not_swallow_the_end_of_the_task() -> None:
    def on_task(ctx: Context) -> None:
        while True:
            try:
                push_for_ever(ctx)
            except Exception:  # noqa: BLE001 - what authors write
                continue

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False))
        supervisor.cancel(1)
        assert supervisor.finish(task).error == "the task was cancelled"
