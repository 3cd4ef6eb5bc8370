"""From on_start to the exit code."""

import threading
import time
from typing import Any

import pytest
from harness import DEADLINE, HELLO, Scripted, Supervisor, running

from plugin_runtime.errors import TransportError
from plugin_runtime.event import Event
from plugin_runtime.lifecycle import LifecycleState
from plugin_runtime.loop import GRACE_WITHOUT_SUPERVISOR_SECONDS
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.wire.codec import decode_hello
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader
from plugin_runtime.wire.messages import EventKind


def test_it_starts_says_hello_stops_and_says_goodbye() -> None:
    configs: list[dict[str, str]] = []
    plugin = Scripted(on_start=configs.append)
    with running(plugin, config={"rules": "strict", "größe": "1"}) as supervisor:
        supervisor.ready()
        assert supervisor.loop.state is LifecycleState.READY
        assert decode_hello(supervisor.events[0].payload) == HELLO
        assert supervisor.stop() == 0
        assert supervisor.loop.state is LifecycleState.STOPPED
        assert supervisor.kinds() == [EventKind.PLUGIN_STARTED, EventKind.PLUGIN_STOPPED]
    assert configs == [{"rules": "strict", "größe": "1"}]
    assert plugin.calls == ["on_start", "on_stop"]


def test_under_a_foreign_daemon_the_hello_is_empty() -> None:
    with running(Scripted(), uses_credits=False, extensions=False) as supervisor:
        supervisor.ready()
        assert supervisor.events[0].payload == b""


def test_a_signal_stops_it_in_order() -> None:
    plugin = Scripted()
    with running(plugin) as supervisor:
        supervisor.ready()
        supervisor.world.stop = True
        supervisor.send(1)  # what ends the wait
        assert supervisor.joined() == 0
        assert supervisor.kinds()[-1] is EventKind.PLUGIN_STOPPED
    assert plugin.calls[-1] == "on_stop"


@pytest.mark.parametrize("error", [ValueError("bad rules"), SystemExit(3), KeyboardInterrupt("no")], ids=repr)
def test_an_on_start_that_raises_ends_it_with_1(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def on_start(*_: object) -> None:
        raise error

    plugin = Scripted(on_start=on_start)
    with running(plugin) as supervisor:
        assert supervisor.joined() == 1
        assert supervisor.loop.state is LifecycleState.FAILED
        assert supervisor.kinds() == []
    assert plugin.calls == ["on_start"]
    said = capsys.readouterr().err
    assert said.startswith("on_start failed: ")
    assert ("sys.exit(3)" if isinstance(error, SystemExit) else type(error).__name__) in said


@pytest.mark.parametrize("raises", [False, True])
def test_a_shutdown_during_on_start_waits_for_it(raises: bool) -> None:
    begun, told = threading.Event(), threading.Event()

    def on_start(*_: object) -> None:
        begun.set()
        assert told.wait(DEADLINE)
        if raises:
            raise ValueError("bad rules")

    plugin = Scripted(on_start=on_start)
    with running(plugin) as supervisor:
        assert begun.wait(DEADLINE)
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        supervisor.until(lambda: supervisor.loop.state is LifecycleState.STOPPING)
        told.set()
        assert supervisor.joined() == int(raises)
        assert supervisor.kinds() == ([] if raises else [EventKind.PLUGIN_STOPPED])
    assert plugin.calls == (["on_start"] if raises else ["on_start", "on_stop"])


def test_an_on_stop_that_raises_is_reported_and_it_has_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    def on_stop() -> None:
        raise OSError("disk gone")

    with running(Scripted(on_stop=on_stop)) as supervisor:
        supervisor.ready()
        assert supervisor.stop() == 0
        assert supervisor.kinds()[-1] is EventKind.PLUGIN_STOPPED
    assert "on_stop failed: " in (said := capsys.readouterr().err)
    assert "OSError: disk gone" in said


def test_requests_that_come_before_it_is_ready_wait() -> None:
    may_start = threading.Event()

    def on_start(*_: object) -> None:
        assert may_start.wait(DEADLINE)

    plugin = Scripted(on_start=on_start)
    with running(plugin) as supervisor:
        tasks = [supervisor.send(1), supervisor.send(2)]
        assert supervisor.kinds() == []
        may_start.set()
        for task in tasks:
            supervisor.finish(task)
        assert [task.error for task in tasks] == [None, None]
        assert supervisor.kinds()[0] is EventKind.PLUGIN_STARTED
    assert plugin.calls == ["on_start", "on_task", "on_task", "on_stop"]


def test_events_reach_on_event_those_before_it_was_ready_too(capsys: pytest.CaptureFixture[str]) -> None:
    may_start, seen = threading.Event(), list[Event]()

    def on_start(*_: object) -> None:
        assert may_start.wait(DEADLINE)

    def on_event(event: Event) -> None:
        seen.append(event)
        if event.kind == "SampleStarted":
            raise LookupError("what sample")

    with running(Scripted(on_start=on_start, on_event=on_event)) as supervisor:
        supervisor.tell(EventKind.TASK_CREATED, associated_id=7)
        may_start.set()
        supervisor.ready()
        supervisor.tell(EventKind.SAMPLE_STARTED, associated_id=8)
        supervisor.tell(EventKind.PLUGIN_RESULT_AVAILABLE, b"other\0report")
        supervisor.tell(EventKind.PLUGIN_STARTED, source=9)
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.until(lambda: len(seen) == 5)
    assert seen == [
        Event.task_created(7),
        Event.sample_started(8),
        Event.plugin_result_available("other", "report"),
        Event.plugin_started(9),
        Event.config_reloaded(),
    ]
    assert "on_event(SampleStarted) failed: " in capsys.readouterr().err


def test_an_event_that_makes_no_sense_is_skipped_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Event] = []
    with running(Scripted(on_event=seen.append)) as supervisor:
        supervisor.ready()
        supervisor.ports.publish_event(EventHeader(4242), b"")
        supervisor.tell(EventKind.PLUGIN_RESULT_AVAILABLE, b"no nul")
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.until(lambda: bool(seen))
        assert supervisor.do(1).error is None
    assert seen == [Event.config_reloaded()]
    said = capsys.readouterr().err
    assert "event_type 4242" in said
    assert "1 texts instead of source and name" in said


@pytest.mark.parametrize(
    ("header", "payload", "reason"),
    [
        pytest.param(TaskRequestHeader(1, 0), b"\xff\xff", "cannot read the request", id="not postcard"),
        pytest.param(TaskRequestHeader(1, 0), b"", "cannot read the request", id="empty"),
        pytest.param(TaskRequestHeader(1, 99), b"", "request_type 99", id="unknown type"),
    ],
)
def test_a_malformed_request_is_answered_and_the_loop_lives_on(
    header: TaskRequestHeader, payload: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(Scripted()) as supervisor:
        supervisor.ready()
        task = supervisor.finish(supervisor.send_raw(header, payload))
        assert task.error is not None
        assert reason in task.error
        assert supervisor.do(2).error is None
    assert reason.removeprefix("cannot read the ") in capsys.readouterr().err


def test_an_id_that_is_running_is_refused_and_the_running_task_not_disturbed() -> None:
    may_end = threading.Event()
    with running(Scripted(on_task=lambda _: may_end.wait(DEADLINE))) as supervisor:
        supervisor.ready()
        first, second = supervisor.send(5), supervisor.send(5)
        assert supervisor.finish(second).error == "task 5 is running already"
        may_end.set()
        assert supervisor.finish(first).error is None
        assert supervisor.do(5).error is None


def test_a_cancel_of_a_task_that_is_not_there_is_ignored() -> None:
    with running(Scripted()) as supervisor:
        supervisor.ready()
        supervisor.cancel(77)
        assert supervisor.do(1).error is None


def test_a_request_that_comes_while_it_stops_is_refused() -> None:
    stopping, may_stop = threading.Event(), threading.Event()

    def on_stop() -> None:
        stopping.set()
        assert may_stop.wait(DEADLINE)

    with running(Scripted(on_stop=on_stop)) as supervisor:
        supervisor.ready()
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert stopping.wait(DEADLINE)
        assert supervisor.do(3).error == "the plugin is stopping"
        may_stop.set()
        assert supervisor.joined() == 0


def lose(supervisor: Supervisor) -> None:
    """Let the supervisor be gone, and the loop see it."""
    supervisor.world.ended = True
    supervisor.exchange.faults.disconnect = True
    supervisor.exchange.changed()


def test_without_its_supervisor_it_ends_with_1_after_on_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plugin_runtime.loop.OWN_SAFETY_NET_SECONDS", 0.05)
    plugin = Scripted()
    with running(plugin) as supervisor:
        supervisor.ready()
        lose(supervisor)
        assert supervisor.joined() == 1
    assert plugin.calls == ["on_start", "on_stop"]
    assert "the supervisor (process 1) is gone; the plugin ends" in capsys.readouterr().err


@pytest.mark.parametrize("handler", ["on_start", "on_task", "on_event", "on_stop"])
def test_without_its_supervisor_it_gives_up_on_a_handler_that_does_not_end(
    handler: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plugin_runtime.loop.OWN_SAFETY_NET_SECONDS", 0.05)
    begun, may_end = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        may_end.wait(DEADLINE)

    with running(Scripted(**{handler: stuck})) as supervisor:
        if handler != "on_start":
            supervisor.ready()
        if handler == "on_task":
            supervisor.send(1)
        elif handler == "on_event":
            supervisor.tell(EventKind.CONFIG_RELOADED)
        since = time.monotonic()
        lose(supervisor)
        assert supervisor.joined() == 1
        assert GRACE_WITHOUT_SUPERVISOR_SECONDS <= time.monotonic() - since < DEADLINE
        assert begun.is_set()
        assert supervisor.loop.handlers_are_running
        may_end.set()
    assert "a handler did not end in time; giving up on it" in capsys.readouterr().err


class BrokenPorts:
    """Ports of which one method fails."""

    def __init__(self, ports: PluginPorts, method: str) -> None:
        self._ports = ports
        self._method = method

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            raise TransportError(f"{name} failed")
        return getattr(self._ports, name)


def test_a_task_whose_end_cannot_be_said_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    broken: list[BrokenPorts] = []

    def wrap(ports: PluginPorts) -> Any:
        broken.append(BrokenPorts(ports, ""))
        return broken[0]

    with running(Scripted(), wrap=wrap) as supervisor:
        supervisor.ready()
        broken[0]._method = "publish_event"
        supervisor.send(4)
        assert supervisor.joined() == 1
    assert "cannot say how task 4 ended: publish_event failed" in capsys.readouterr().err


def test_the_loops_thread_is_not_the_handlers() -> None:
    names: list[str] = []
    plugin = Scripted(
        on_start=lambda _: names.append(threading.current_thread().name),
        on_task=lambda _: names.append(threading.current_thread().name),
        on_stop=lambda: names.append(threading.current_thread().name),
    )
    with running(plugin) as supervisor:
        supervisor.ready()
        supervisor.do(1)
    assert names == ["malbox-handlers"] * 3
