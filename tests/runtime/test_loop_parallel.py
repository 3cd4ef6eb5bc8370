"""A plugin that works on several tasks at once: their handlers on threads, side by side, and the others in order."""

import threading
import time
from collections.abc import Mapping

import pytest
from harness import DEADLINE, ID, Scripted, Supervisor, running

from plugin_runtime.context import Context
from plugin_runtime.health import HealthStatus
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.ports.memory import MemoryPluginPorts
from plugin_runtime.wire.messages import EventKind, HealthAnswer
from plugin_runtime.wire.names import CREDIT_SLOTS, RESPONSE_WINDOW, PluginWake, credit_wake

MANY = 4


class Gate:
    """Where handlers wait until the test lets them go on."""

    def __init__(self) -> None:
        self.inside: list[int] = []
        self._open = threading.Event()

    def pass_through(self, ctx: Context) -> None:
        self.inside.append(ctx.task().id)
        assert self._open.wait(DEADLINE)

    def open(self) -> None:
        self._open.set()


def all_taken(supervisor: Supervisor) -> None:
    """Wait until the loop has received every request."""
    supervisor.until(lambda: not supervisor.exchange.sides[ID].requests)


def test_so_many_tasks_run_at_once_and_the_next_waits_for_a_thread() -> None:
    gate, threads = Gate(), set[str]()

    def on_task(ctx: Context) -> None:
        threads.add(threading.current_thread().name)
        gate.pass_through(ctx)

    with running(Scripted(on_task=on_task), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(number) for number in range(1, MANY + 2)]
        all_taken(supervisor)
        supervisor.until(lambda: len(gate.inside) == MANY)
        assert sorted(gate.inside) == [1, 2, 3, 4]
        gate.open()
        assert [supervisor.finish(task).error for task in tasks] == [None] * (MANY + 1)
    assert len(gate.inside) == MANY + 1
    assert threads <= {f"malbox-task-{number}" for number in range(1, MANY + 1)}


def test_tasks_one_after_the_other_need_no_second_thread() -> None:
    threads = set[str]()
    plugin = Scripted(on_task=lambda _: threads.add(threading.current_thread().name))
    with running(plugin, concurrency=MANY) as supervisor:
        supervisor.ready()
        for number in range(1, 20):
            supervisor.do(number)
            supervisor.until(lambda number=number: supervisor.kinds().count(EventKind.TASK_COMPLETED) == number)  # type: ignore[misc]
    assert len(threads) <= 2  # the first may not be quite done when the next one comes


def test_the_other_handlers_run_in_order_on_one_thread_around_and_beside_the_tasks() -> None:
    gate, threads, order = Gate(), set[str](), list[str]()

    def note(what: str) -> None:
        threads.add(threading.current_thread().name)
        order.append(what)

    def on_task(ctx: Context) -> None:
        gate.pass_through(ctx)
        order.append("task ends")

    plugin = Scripted(
        on_start=lambda _: note("on_start"),
        on_task=on_task,
        on_event=lambda event: note(event.kind),
        on_stop=lambda: note("on_stop"),
    )
    with running(plugin, concurrency=MANY) as supervisor:
        supervisor.ready()
        for number in range(1, MANY + 1):
            supervisor.send(number)
        supervisor.until(lambda: len(gate.inside) == MANY)
        supervisor.tell(EventKind.CONFIG_RELOADED)
        supervisor.tell(EventKind.TASK_CREATED, associated_id=3)
        supervisor.until(lambda: len(order) == 3)
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        supervisor.until(lambda: supervisor.loop.state.value == "stopping")
        assert "on_stop" not in order
        gate.open()
        assert supervisor.joined() == 0
    assert order == ["on_start", "ConfigReloaded", "TaskCreated", *["task ends"] * MANY, "on_stop"]
    assert threads == {"malbox-handlers"}


def test_a_question_after_its_health_is_answered_while_tasks_run() -> None:
    gate = Gate()
    plugin = Scripted(on_task=gate.pass_through, health_check=lambda: HealthStatus.Degraded("busy"))
    with running(plugin, concurrency=2) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(1), supervisor.send(2)]
        supervisor.until(lambda: len(gate.inside) == 2)
        assert supervisor.health() == HealthAnswer("degraded", "busy")
        gate.open()
        assert [supervisor.finish(task).error for task in tasks] == [None, None]


def test_each_ends_as_it_does_and_no_other_is_any_the_worse() -> None:
    gate = Gate()

    def on_task(ctx: Context) -> None:
        gate.pass_through(ctx)
        if ctx.task().id == 1:
            raise ValueError("of one")
        if ctx.task().id == 2:
            raise SystemExit(3)
        ctx.results().push_bytes("r", b"%d" % ctx.task().id)

    with running(Scripted(on_task=on_task), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(number) for number in range(1, MANY + 1)]
        supervisor.until(lambda: len(gate.inside) == MANY)
        gate.open()
        errors = [supervisor.finish(task).error for task in tasks]
        supervisor.until(lambda: len(supervisor.kinds()) == 1 + MANY)
        ended = {event.associated_id: event.kind for event in supervisor.events[1:]}
    assert errors[0] is not None
    assert errors[0].endswith("ValueError: of one")
    assert errors[1] is not None
    assert "sys.exit(3)" in errors[1]
    assert errors[2:] == [None, None]
    assert [task.results[0][2] for task in tasks[2:]] == [b"3", b"4"]
    failed, completed = EventKind.TASK_FAILED, EventKind.TASK_COMPLETED
    assert ended == {1: failed, 2: failed, 3: completed, 4: completed}


def test_a_cancel_is_for_one_among_many() -> None:
    gate = Gate()
    noticed = list[int]()

    def on_task(ctx: Context) -> None:
        if ctx.task().id == 2:
            gate.inside.append(2)
            while not ctx.cancelled:
                time.sleep(0.001)
            noticed.append(2)
            ctx.raise_if_cancelled()
        gate.pass_through(ctx)
        if ctx.cancelled:
            noticed.append(ctx.task().id)

    with running(Scripted(on_task=on_task), concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = {number: supervisor.send(number) for number in range(1, MANY + 1)}
        supervisor.until(lambda: len(gate.inside) == MANY)
        supervisor.cancel(2)
        assert supervisor.finish(tasks.pop(2)).error == "the task was cancelled"
        gate.open()
        assert [supervisor.finish(task).error for task in tasks.values()] == [None] * 3
    assert noticed == [2]


@pytest.mark.parametrize("uses_credits", [True, False], ids=["credits", "blocking"])
def test_one_whose_results_nobody_takes_does_not_slow_the_others(uses_credits: bool) -> None:
    pushed = list[int]()

    def on_task(ctx: Context) -> None:
        for index in range(20):
            ctx.results().push_bytes(str(index), b"x")
            if ctx.task().id == 1:
                pushed.append(index)

    with running(Scripted(on_task=on_task), uses_credits=uses_credits, concurrency=2) as supervisor:
        supervisor.ready()
        blocked = supervisor.send(1)
        supervisor.until(lambda: len(pushed) == RESPONSE_WINDOW)
        for number in range(2, 10):
            assert len(supervisor.do(number).names) == 20
        assert len(pushed) == RESPONSE_WINDOW
        assert len(supervisor.finish(blocked).names) == 20


def test_one_that_never_returns_leaves_the_others_their_turns_and_no_orderly_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plugin_runtime.loop.OWN_SAFETY_NET_SECONDS", 0.05)
    entered, never = threading.Event(), threading.Event()

    def on_task(ctx: Context) -> None:
        if ctx.task().id == 1:
            entered.set()
            never.wait()

    plugin = Scripted(on_task=on_task)
    with running(plugin, concurrency=2) as supervisor:
        supervisor.ready()
        supervisor.send(1)
        assert entered.wait(DEADLINE)
        for number in range(2, 20):
            assert supervisor.do(number).error is None
        supervisor.world.ended = True
        assert supervisor.joined() == 1
        assert supervisor.loop.handlers_are_running
        assert "on_stop" not in plugin.calls
        never.set()


def test_a_shutdown_ends_all_that_runs_and_what_waits_for_a_thread() -> None:
    begun = list[int]()

    def on_task(ctx: Context) -> None:
        begun.append(ctx.task().id)
        while True:
            ctx.raise_if_cancelled()
            time.sleep(0.001)

    plugin = Scripted(on_task=on_task)
    with running(plugin, concurrency=MANY) as supervisor:
        supervisor.ready()
        tasks = [supervisor.send(number) for number in range(1, MANY + 3)]
        all_taken(supervisor)
        supervisor.until(lambda: len(begun) == MANY)
        supervisor.tell(EventKind.DAEMON_SHUTDOWN)
        assert [supervisor.finish(task).error for task in tasks] == ["the task was cancelled"] * (MANY + 2)
        assert supervisor.joined() == 0
        kinds = supervisor.kinds()
    assert len(begun) == MANY
    assert kinds == [EventKind.PLUGIN_STARTED, *[EventKind.TASK_CANCELED] * (MANY + 2), EventKind.PLUGIN_STOPPED]
    assert plugin.calls[-1] == "on_stop"


def test_a_start_that_fails_ends_the_plugin() -> None:
    def on_start(_: dict[str, str]) -> None:
        raise ValueError("no rules")

    plugin = Scripted(on_start=on_start)
    with running(plugin, concurrency=MANY) as supervisor:
        assert supervisor.joined() == 1
    assert plugin.calls == ["on_start"]


class RingingLate(MemoryPluginPorts):
    """Ports on which a credit, and the word to stop, are rung while the loop receives a request."""

    def __init__(self, ports: MemoryPluginPorts) -> None:
        self._inner = ports
        self.__dict__.update(ports.__dict__)
        self.late: Mapping[int, int] = {}

    def receive_request(self):  # type: ignore[no-untyped-def] # noqa: ANN201 - as the ports' own
        request = super().receive_request()
        if request is not None and request.header.task_id > CREDIT_SLOTS:
            for event_id, count in self.late.items():
                for _ in range(count):
                    self._side.ring(event_id)
        return request


def test_the_credits_of_an_earlier_task_are_not_those_of_the_next_one_with_its_event_id() -> None:
    made = list[RingingLate]()

    def wrap(ports: PluginPorts) -> PluginPorts:
        assert isinstance(ports, MemoryPluginPorts)
        made.append(RingingLate(ports))
        return made[0]

    pushed = list[int]()

    def on_task(ctx: Context) -> None:
        for index in range(2 * RESPONSE_WINDOW):
            ctx.results().push_bytes(str(index), b"x")
            pushed.append(index)

    with running(Scripted(on_task=on_task), concurrency=2, wrap=wrap) as supervisor:
        supervisor.ready()
        made[0].late = {credit_wake(1): 3}
        task = supervisor.send(1 + CREDIT_SLOTS)
        supervisor.until(lambda: len(pushed) == RESPONSE_WINDOW)
        # The handler waits: nobody gave it a credit.
        channel = supervisor.loop._channels[1 + CREDIT_SLOTS]
        assert channel._credits == 0
        assert len(supervisor.finish(task).names) == 2 * RESPONSE_WINDOW


def test_the_word_to_stop_that_comes_with_a_task_is_heard() -> None:
    made = list[RingingLate]()

    def wrap(ports: PluginPorts) -> PluginPorts:
        assert isinstance(ports, MemoryPluginPorts)
        made.append(RingingLate(ports))
        return made[0]

    with running(Scripted(), concurrency=2, wrap=wrap) as supervisor:
        supervisor.ready()
        made[0].late = {int(PluginWake.STOP): 1}
        supervisor.send(1 + CREDIT_SLOTS)
        assert supervisor.joined() == 0
