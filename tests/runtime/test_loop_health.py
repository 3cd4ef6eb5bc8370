"""The questions after the plugin's health, its heartbeat, and the word to stop that is for it alone."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from harness import DEADLINE, ID, Scripted, running

from plugin_runtime.context import Context
from plugin_runtime.health import HealthStatus
from plugin_runtime.plugin import Plugin
from plugin_runtime.wire.health import MAX_REASON
from plugin_runtime.wire.messages import EventKind, HealthAnswer

SECONDS = 0.01
"""Between the heartbeats of these tests."""


async def degraded_later() -> HealthStatus:
    return HealthStatus.Degraded("rules are a week old")


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        pytest.param(HealthStatus.Healthy, HealthAnswer("healthy"), id="healthy"),
        pytest.param(lambda: HealthStatus.Degraded("slow"), HealthAnswer("degraded", "slow"), id="degraded"),
        pytest.param(lambda: HealthStatus.Unhealthy("no rules"), HealthAnswer("unhealthy", "no rules"), id="unhealthy"),
        pytest.param(degraded_later, HealthAnswer("degraded", "rules are a week old"), id="async"),
        pytest.param(
            lambda: HealthStatus.Degraded("x" * 9999), HealthAnswer("degraded", "x" * (MAX_REASON - 1) + "…"), id="long"
        ),
    ],
)
def test_the_plugin_answers_what_its_check_says(check: Callable[[], Any], answer: HealthAnswer) -> None:
    plugin = Scripted(health_check=check)
    with running(plugin) as supervisor:
        supervisor.ready()
        assert supervisor.health() == answer
        assert supervisor.health() == answer
        assert supervisor.do(1).error is None
    assert plugin.calls == ["on_start", "health_check", "health_check", "on_task", "on_stop"]


def test_a_plugin_that_says_nothing_of_its_health_is_healthy() -> None:
    with running(Plugin()) as supervisor:
        supervisor.ready()
        assert supervisor.health() == HealthAnswer("healthy")


def raising(error: BaseException) -> Callable[[], Any]:
    def check() -> HealthStatus:
        raise error

    return check


async def raising_later() -> HealthStatus:
    raise ConnectionError("the database\ndoes not answer")


@pytest.mark.parametrize(
    ("check", "reason", "logged"),
    [
        pytest.param(raising(ValueError("bad rules")), "failed: ValueError: bad rules", "Traceback", id="exception"),
        pytest.param(raising(LookupError()), "failed: LookupError", "Traceback", id="without a text"),
        pytest.param(raising_later, "failed: does not answer", "ConnectionError: the database", id="async, two lines"),
        pytest.param(
            raising(SystemExit(3)), "failed: the handler called sys.exit(3): ", "called sys.exit(3)", id="exit"
        ),
        pytest.param(raising(KeyboardInterrupt()), "failed: KeyboardInterrupt", "Traceback", id="no Exception"),
        pytest.param(
            lambda: HealthStatus.Degraded(None),  # type: ignore[arg-type] # what an author may do
            "failed: TypeError: 'degraded' with the reason None is no health",
            "Traceback",
            id="no reason",
        ),
        pytest.param(lambda: None, "returned NoneType, and not what HealthStatus.Healthy()", "returned", id="nothing"),
        pytest.param(lambda: "well", "returned str, and not what HealthStatus.Healthy()", "returned", id="a text"),
    ],
)
def test_a_check_that_fails_is_unhealthy_and_logged_once_and_the_plugin_lives_on(
    check: Callable[[], Any], reason: str, logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [check, check, HealthStatus.Healthy, check]
    with running(Scripted(health_check=lambda: checks.pop(0)())) as supervisor:
        supervisor.ready()
        answers = [supervisor.health() for _ in range(4)]
        assert supervisor.do(1).error is None
    assert [answer.level for answer in answers] == ["unhealthy", "unhealthy", "healthy", "unhealthy"]
    assert answers[0].reason.startswith(f"health_check {reason}")
    assert "\n" not in answers[0].reason
    said = capsys.readouterr().err
    assert logged in said
    assert said.count("health_check ") == 2  # the second is the first one's, and the last comes after a good one


def test_the_check_has_its_turn_after_the_task_that_runs_and_one_answers_all_questions() -> None:
    running_now, may_end = threading.Event(), threading.Event()
    threads: list[str] = []

    def on_task(_: Context) -> None:
        threads.append(threading.current_thread().name)
        running_now.set()
        assert may_end.wait(DEADLINE)

    def check() -> HealthStatus:
        threads.append(threading.current_thread().name)
        return HealthStatus.Degraded("busy")

    plugin = Scripted(on_task=on_task, health_check=check)
    with running(plugin) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert running_now.wait(DEADLINE)
        questions = [supervisor.ask_health() for _ in range(3)]
        supervisor.until(lambda: not supervisor.exchange.sides[ID].requests)  # the loop has them
        assert [question.receive() for question in questions] == [None] * 3
        may_end.set()
        assert [supervisor.answer(question).reason for question in questions] == ["busy"] * 3
        assert supervisor.finish(task).error is None
    assert threads == ["malbox-handlers"] * 2
    assert plugin.calls == ["on_start", "on_task", "health_check", "on_stop"]


def test_a_question_takes_nothing_from_the_window_of_a_task() -> None:
    def on_task(ctx: Context) -> None:
        for number in range(50):
            ctx.results().push_bytes(f"r{number}", b"x")

    with running(Scripted(on_task=on_task, health_check=HealthStatus.Healthy)) as supervisor:
        supervisor.ready()
        question = supervisor.ask_health()
        assert len(supervisor.do(64).names) == 50  # a task whose credits have the ids of task 0's
        assert supervisor.answer(question) == HealthAnswer("healthy")


def test_a_question_that_comes_before_it_is_ready_waits() -> None:
    may_start = threading.Event()

    def on_start(*_: object) -> None:
        assert may_start.wait(DEADLINE)

    with running(Scripted(on_start=on_start, health_check=HealthStatus.Healthy)) as supervisor:
        question = supervisor.ask_health()
        may_start.set()
        assert supervisor.answer(question) == HealthAnswer("healthy")


def test_a_plugin_that_stops_says_so_and_does_not_check() -> None:
    stopping, may_stop = threading.Event(), threading.Event()

    def on_stop() -> None:
        stopping.set()
        assert may_stop.wait(DEADLINE)

    plugin = Scripted(on_stop=on_stop)
    with running(plugin) as supervisor:
        supervisor.ready()
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert stopping.wait(DEADLINE)
        assert supervisor.health() == HealthAnswer("unhealthy", "the plugin is stopping")
        may_stop.set()
        assert supervisor.joined() == 0
    assert plugin.calls == ["on_start", "on_stop"]


def test_a_question_that_nobody_waits_for_any_more_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def check() -> HealthStatus:
        begun.set()
        assert may_end.wait(DEADLINE)
        return HealthStatus.Healthy()

    with running(Scripted(health_check=check)) as supervisor:
        supervisor.ready()
        question = supervisor.ask_health()
        assert begun.wait(DEADLINE)
        question.close()
        may_end.set()
        assert supervisor.do(1).error is None
    assert capsys.readouterr().err == ""


def test_the_word_to_stop_ends_it_as_a_shutdown_does() -> None:
    plugin = Scripted(on_task=lambda ctx: ctx.raise_if_cancelled())
    with running(plugin) as supervisor:
        supervisor.ready()
        supervisor.ports.ask_stop(ID)
        assert supervisor.joined() == 0
        assert supervisor.kinds()[-1] is EventKind.PLUGIN_STOPPED
    assert plugin.calls == ["on_start", "on_stop"]


def test_the_word_to_stop_cancels_what_runs() -> None:
    begun = threading.Event()

    def on_task(ctx: Context) -> None:
        begun.set()
        while True:
            ctx.progress(0.5, "on")

    with running(Scripted(on_task=on_task)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        assert begun.wait(DEADLINE)
        supervisor.ports.ask_stop(ID)
        assert supervisor.finish(task).error == "the task was cancelled"
        assert supervisor.joined() == 0
        assert supervisor.kinds()[-2:] == [EventKind.TASK_CANCELED, EventKind.PLUGIN_STOPPED]


def test_the_word_to_stop_during_on_start_waits_for_it() -> None:
    begun, told = threading.Event(), threading.Event()

    def on_start(*_: object) -> None:
        begun.set()
        assert told.wait(DEADLINE)

    with running(Scripted(on_start=on_start)) as supervisor:
        assert begun.wait(DEADLINE)
        supervisor.ports.ask_stop(ID)
        supervisor.until(lambda: supervisor.loop.state.value == "stopping")
        told.set()
        assert supervisor.joined() == 0
        assert supervisor.kinds() == [EventKind.PLUGIN_STOPPED]


def test_its_loop_beats_from_its_start_to_its_end_whatever_the_handlers_do() -> None:
    may_start, may_end, stopping = threading.Event(), threading.Event(), threading.Event()

    def on_start(*_: object) -> None:
        assert may_start.wait(DEADLINE)

    def on_stop() -> None:
        stopping.set()
        assert may_end.wait(DEADLINE)

    plugin = Scripted(on_start=on_start, on_task=lambda _: may_end.wait(DEADLINE), on_stop=on_stop)
    with running(plugin, heartbeat=SECONDS, heartbeat_slot=7) as supervisor:
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.until(lambda: not supervisor.exchange.sides[ID].daemon_events)  # the loop has turned
        assert supervisor.beats == []
        may_start.set()
        supervisor.until(lambda: len(supervisor.beats) >= 3)
        task = supervisor.send(1)
        supervisor.until(lambda: "on_task" in plugin.calls)
        so_far = len(supervisor.beats)
        supervisor.until(lambda: len(supervisor.beats) >= so_far + 3)
        may_end.set()
        supervisor.finish(task)
        may_end.clear()
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert stopping.wait(DEADLINE)
        so_far = len(supervisor.beats)
        supervisor.until(lambda: len(supervisor.beats) >= so_far + 3)
        may_end.set()
        assert supervisor.joined() == 0
    assert set(supervisor.beats) == {7}


def test_the_first_heartbeat_comes_with_plugin_started() -> None:
    with running(Scripted(), heartbeat=1000.0) as supervisor:
        supervisor.until(lambda: supervisor.beats == [0])
        assert supervisor.kinds() == [EventKind.PLUGIN_STARTED]


def test_nobody_hears_a_heartbeat_that_was_not_asked_for() -> None:
    with running(Scripted()) as supervisor:
        supervisor.ready()
        supervisor.do(1)
    assert supervisor.beats == []
