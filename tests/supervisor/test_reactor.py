"""How the reactor does what it is told about health and heartbeats, and how it lets go of everything."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.store.ledger import NoLedger
from malbox_cli.store.results import ResultWriter
from malbox_cli.store.samples import SampleReader
from malbox_cli.supervisor.actions import Abandon, Action, Adopt, AskHealth, AskStop, Forget, Spawn
from malbox_cli.supervisor.children import Children, Ending
from malbox_cli.supervisor.events import (
    Beat,
    Event,
    HealthSaid,
    PluginStopped,
    ProcessExited,
    Spawned,
    SpawnFailed,
    StartAsked,
)
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.heartbeat_slots import HeartbeatSlots
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.reactor import Reactor
from plugin_runtime.errors import SharedMemoryFull, TransportError
from plugin_runtime.ports.base import PluginPorts, ReceivedEvent
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.codec import encode_event
from plugin_runtime.wire.health import health_frame
from plugin_runtime.wire.messages import EventKind, EventMessage, HealthAnswer
from plugin_runtime.wire.names import PluginWake


class Deciding(Machine):
    """Keeps what happened, and asks for what a test wants done."""

    def __init__(self) -> None:
        super().__init__([], stop_timeout=1, jitter=lambda: 1.0)
        self.happened: list[Event] = []
        self.wanted: list[Action] = []

    def handle(self, event: Event, now: float) -> list[Action]:
        del now
        self.happened.append(event)
        actions, self.wanted = self.wanted, []
        return actions


class Rig:
    """A reactor over ports in memory, without processes."""

    def __init__(self, stack: ExitStack, specs: tuple[PluginSpec, ...] = (), **children: object) -> None:
        self.closed: list[str] = []
        self.disk_is_stuck = False
        self.machine = Deciding()
        self.slots = HeartbeatSlots()
        self.said: list[str] = []
        self.exchange = MemoryExchange()
        self.children = SimpleNamespace(kill_all=lambda: None, get=lambda _: None, look_after=lambda: None, **children)
        reader = SimpleNamespace(close=self.noting("samples"))
        writer = SimpleNamespace(close=self.noting("results"))
        poller = Poller()
        stack.callback(poller.close)
        self.ports = stack.enter_context(self.exchange.supervisor())
        self.reactor = Reactor(
            self.machine,
            specs,
            self.ports,
            poller,
            cast(Children, self.children),
            OutputPump(poller, lambda *_: None),
            lambda each: (NoLedger(each.post), cast(ResultWriter, writer), cast(SampleReader, reader)),
            lambda *_: None,
            lambda _level, text, _plugin_id=None: self.said.append(text),
            self.slots,
        )

        self.machine.happened.clear()  # what the ledger has said of the time before

    def noting(self, what: str) -> Callable[[], bool]:
        def note() -> bool:
            self.closed.append(what)
            return not self.disk_is_stuck

        return note

    def want(self, *actions: Action) -> None:
        """Have the machine ask for something."""
        self.machine.wanted += actions
        self.reactor.handle(StartAsked())

    def close(self) -> None:
        """Close the reactor, once."""
        if not self.closed:
            self.reactor.close()

    def heard(self) -> list[Event]:
        """Let the reactor turn, and return what it told of since the last time."""
        self.reactor.turn()
        happened, self.machine.happened = self.machine.happened, []
        return [event for event in happened if not isinstance(event, StartAsked)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def rig(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    cwd = tmp_path_factory.getbasetemp()
    specs = tuple(PluginSpec(id=id_, name=id_, argv=("/bin/true",), cwd=cwd) for id_ in ("a", "b"))
    rig = Rig(stack, specs, reap=lambda _: Ending(7, ExitStatus(0, None)))
    stack.callback(rig.close)
    return rig


@pytest.fixture
def plugin(rig: Rig, stack: ExitStack) -> PluginPorts:
    """The end of plugin a."""
    return stack.enter_context(rig.exchange.plugin("a"))


def test_a_plugin_is_asked_how_it_is_and_its_answer_is_an_event(rig: Rig, plugin: PluginPorts) -> None:
    rig.want(AskHealth("a"))
    question = plugin.receive_request()
    assert question is not None
    assert rig.heard() == []
    question.send(health_frame(HealthAnswer("degraded", "slow")))
    assert rig.heard() == [HealthSaid("a", "degraded", "slow")]
    assert rig.heard() == []


def test_one_plugin_is_told_to_stop_and_one_that_cannot_be_told_is_named(rig: Rig, plugin: PluginPorts) -> None:
    rig.want(AskStop("b"), AskStop("a"), AskStop("gone"))
    assert plugin.take_wakes() == {PluginWake.STOP: 1}
    assert [text.partition(":")[0] for text in rig.said] == ["gone"]
    assert "cannot tell it to stop" in rig.said[0]


def test_heartbeats_are_told_of_by_plugin_and_those_of_nobody_not_at_all(rig: Rig, plugin: PluginPorts) -> None:
    plugin.beat(0)
    assert rig.heard() == []
    rig.slots.take("b")
    rig.slots.take("a")
    plugin.beat(rig.slots.take("a"))
    plugin.beat(rig.slots.take("a"))  # they are one, as bells are
    plugin.beat(119)
    assert rig.heard() == [Beat("a")]
    rig.slots.release("a")
    plugin.beat(1)
    assert rig.heard() == []


def test_the_answer_of_a_process_that_ended_is_not_waited_for(rig: Rig, plugin: PluginPorts) -> None:
    rig.want(AskHealth("a"))
    question = plugin.receive_request()
    assert question is not None
    rig.children.on_end("a")
    assert not question.is_open
    assert [type(event) for event in rig.heard()] == [ProcessExited]


def test_a_step_of_the_end_that_fails_keeps_none_of_the_others_from_being_taken(stack: ExitStack) -> None:
    def fail() -> None:
        raise OSError("no descriptor is left to look for strays with")

    rig = Rig(stack)
    rig.children.kill_all = fail

    with pytest.raises(OSError, match="no descriptor"):
        rig.close()

    assert rig.closed == ["samples", "results"]


def test_a_plugin_whose_services_cannot_be_made_is_tried_again_with_its_next_start(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned = SimpleNamespace(pid=7)
    rig = Rig(stack, spawn=lambda _: (spawned, "nonce"))
    stack.callback(rig.close)
    spec = PluginSpec(id="c", name="c", argv=("/bin/true",), cwd=Path("/"))

    def no_room(plugin_id: str, concurrency: int) -> None:
        del concurrency
        raise SharedMemoryFull(f"no space for {plugin_id}")

    with monkeypatch.context() as full:
        full.setattr(rig.ports, "add_plugin", no_room)
        rig.want(Adopt("c"), Spawn("c", spec))
    assert rig.heard() == [SpawnFailed("c", "no space for c", is_transient=True)]

    rig.want(Spawn("c", spec))
    assert rig.heard() == [Spawned("c", 7, "nonce")]


def test_the_services_of_a_plugin_have_room_for_its_tasks_also_where_those_become_more(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(stack, spawn=lambda _: (SimpleNamespace(pid=7), "nonce"))
    stack.callback(rig.close)
    made: list[tuple[str, int]] = []
    removed: list[str] = []
    monkeypatch.setattr(rig.ports, "add_plugin", lambda plugin_id, concurrency: made.append((plugin_id, concurrency)))
    monkeypatch.setattr(rig.ports, "remove_plugin", removed.append)
    for concurrency in (4, 2, 4, 8):
        spec = PluginSpec(id="c", name="c", argv=("/bin/true",), cwd=Path("/"), concurrency=concurrency)
        rig.want(Spawn("c", spec))
    assert made == [("c", 4), ("c", 8)]
    assert removed == ["c"]


def test_a_plugin_that_leaves_while_events_are_taken_is_passed_over(rig: Rig, plugin: PluginPorts) -> None:
    rig.machine.wanted.append(Forget("b"))
    plugin.publish_event(*encode_event(EventMessage(EventKind.PLUGIN_STOPPED)))
    assert rig.heard() == [PluginStopped("a", is_ours=True)]


def test_events_that_cannot_be_received_are_said_and_those_of_others_are_taken(
    stack: ExitStack, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = rig.ports.receive_event

    def broken(plugin_id: str) -> ReceivedEvent | None:
        if plugin_id == "a":
            raise TransportError("cannot receive an event of plugin a")
        return receive(plugin_id)

    monkeypatch.setattr(rig.ports, "receive_event", broken)
    stack.enter_context(rig.exchange.plugin("b")).publish_event(*encode_event(EventMessage(EventKind.PLUGIN_STOPPED)))
    assert rig.heard() == [PluginStopped("b", is_ours=True)]
    assert rig.said == ["a: cannot receive an event of plugin a"]


def test_no_answer_is_awaited_of_a_process_that_was_given_up(rig: Rig, plugin: PluginPorts) -> None:
    rig.children.abandon = lambda _: None
    rig.want(AskHealth("a"), Abandon("a"))
    question = plugin.receive_request()
    assert question is not None
    assert not question.is_open
    rig.want(AskHealth("a"))
    assert plugin.receive_request() is not None


def test_a_plugin_that_is_no_more_gives_its_heartbeat_slot_back(rig: Rig) -> None:
    assert (rig.slots.take("a"), rig.slots.take("b")) == (0, 1)
    rig.want(Forget("a"))
    assert rig.slots.take("c") == 0


def test_results_that_the_disk_did_not_take_are_told_of_and_keep_nobody(rig: Rig) -> None:
    rig.disk_is_stuck = True
    rig.close()
    assert rig.said == ["the disk did not take all results in time; what is still on its way to it is given up"]
    rig.reactor.post(StartAsked())  # what the disk says once it answers after all


def test_the_end_lets_go_of_the_questions(rig: Rig, plugin: PluginPorts) -> None:
    rig.want(AskHealth("a"))
    question = plugin.receive_request()
    assert question is not None
    rig.close()
    assert not question.is_open
