"""Asking plugins how they are: one question to each, and every answer an event."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from malbox_cli.supervisor.events import Event, HealthSaid
from malbox_cli.supervisor.health_checks import HealthChecks
from plugin_runtime.ports.base import IncomingRequest, PluginPorts, SupervisorPorts
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.codec import Frame, decode_request, error_frame, progress_frame
from plugin_runtime.wire.headers import TaskResponseHeader
from plugin_runtime.wire.health import health_frame
from plugin_runtime.wire.messages import HealthAnswer, HealthQuestion


class Rig:
    """The checks, and the plugins' ends of their ports."""

    def __init__(self, stack: ExitStack) -> None:
        exchange = MemoryExchange()
        self.exchange = exchange
        self.ports: SupervisorPorts = stack.enter_context(exchange.supervisor())
        self.plugins: dict[str, PluginPorts] = {}
        for plugin_id in ("a", "b"):
            self.ports.add_plugin(plugin_id)
            self.plugins[plugin_id] = stack.enter_context(exchange.plugin(plugin_id))
        self.said: list[Event] = []
        self.checks = HealthChecks(self.ports, self.said.append)

    def question(self, plugin_id: str) -> IncomingRequest:
        """Receive the question to a plugin."""
        request = self.plugins[plugin_id].receive_request()
        assert request is not None
        assert decode_request(request.header, request.payload) == HealthQuestion()
        return request

    def open_calls(self) -> int:
        return sum(len(side.open_calls) for side in self.exchange.sides.values())


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack)


def test_an_answer_is_an_event_and_ends_the_question(rig: Rig) -> None:
    rig.checks.ask("a")
    rig.checks.ask("b")
    assert rig.checks.are_open
    rig.checks.drain()
    assert rig.said == []
    rig.question("b").send(health_frame(HealthAnswer("degraded", "slow")))
    rig.checks.drain()
    assert rig.said == [HealthSaid("b", "degraded", "slow")]
    assert rig.checks.are_open
    rig.question("a").send(health_frame(HealthAnswer("healthy")))
    rig.checks.drain()
    assert rig.said[1:] == [HealthSaid("a", "healthy", "")]
    assert not rig.checks.are_open
    assert rig.open_calls() == 0


def test_no_second_question_is_asked_while_the_first_waits(rig: Rig) -> None:
    for _ in range(3):
        rig.checks.ask("a")
    question = rig.question("a")
    assert rig.plugins["a"].receive_request() is None
    question.send(health_frame(HealthAnswer("healthy")))
    rig.checks.drain()
    rig.checks.ask("a")
    rig.question("a")


def test_a_plugin_that_is_not_there_says_nothing_and_is_asked_again(rig: Rig) -> None:
    rig.plugins["a"].close()
    rig.checks.ask("a")
    rig.checks.ask("never added")
    assert not rig.checks.are_open
    with rig.exchange.plugin("a") as again:
        rig.checks.ask("a")
        assert again.receive_request() is not None
    assert rig.said == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(error_frame(0, "no such request"), "cannot answer .* health: no such request", id="an error"),
        pytest.param(progress_frame(0, 0.1, "on"), "with something else", id="progress"),
        pytest.param(Frame(TaskResponseHeader(0, 9), (b"?",)), "kind 9", id="an unknown kind"),
        pytest.param(health_frame(HealthAnswer("fine")), "without a `level`", id="another level"),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_makes_no_sense_is_unhealthy_and_the_next_question_is_asked(
    rig: Rig, frame: Frame, reason: str
) -> None:
    rig.checks.ask("a")
    rig.question("a").send(frame)
    rig.checks.drain()
    (said,) = rig.said
    assert isinstance(said, HealthSaid)
    assert (said.plugin_id, said.level) == ("a", "unhealthy")
    assert re.search(reason, said.reason)
    rig.checks.ask("a")
    rig.question("a").send(health_frame(HealthAnswer("healthy")))
    rig.checks.drain()
    assert rig.said[1:] == [HealthSaid("a", "healthy", "")]


def test_the_question_to_a_process_that_ended_is_forgotten(rig: Rig) -> None:
    rig.checks.ask("a")
    question = rig.question("a")
    question.send(health_frame(HealthAnswer("healthy")))
    rig.checks.forget("a")
    rig.checks.forget("a")
    rig.checks.drain()
    assert rig.said == []
    assert not question.is_open
    rig.checks.ask("a")
    assert rig.checks.are_open


def test_closing_lets_go_of_every_question(rig: Rig) -> None:
    rig.checks.ask("a")
    rig.checks.ask("b")
    assert rig.open_calls() == 2
    rig.checks.close()
    assert rig.open_calls() == 0
    assert not rig.checks.are_open
