"""Plugins that get each other's results, on ports in memory: loops on threads, no supervisor in the data's path."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from harness import DEADLINE, HELLO, Scripted, World

from plugin_runtime.environment import PluginEnvironment, Source
from plugin_runtime.event import Event
from plugin_runtime.loop import PluginLoop
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.publishing import ResultPublisher
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.messages import DataFormat

CHAIN = {"a": ("b",), "b": ("c",), "c": ()}


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to that"
        threading.Event().wait(0.001)


class Chain:
    """The plugins of `CHAIN`, whose ports meet in one exchange; whoever publishes for one is the test itself."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.exchange = MemoryExchange()
        self.supervisor = stack.enter_context(self.exchange.supervisor())
        for plugin_id in CHAIN:
            self.supervisor.add_plugin(plugin_id)
        self.worlds: dict[str, World] = {}

    def ports(self, plugin_id: str) -> PluginPorts:
        sources = [source for source, listeners in CHAIN.items() if plugin_id in listeners]
        return self._stack.enter_context(self.exchange.plugin(plugin_id, listeners=CHAIN[plugin_id], sources=sources))

    def run(self, plugin_id: str, on_event: Callable[[Event], Any]) -> threading.Thread:
        """Run a plugin's loop on a thread."""
        sources = tuple(Source(source, source, 0) for source, listeners in CHAIN.items() if plugin_id in listeners)
        environment = PluginEnvironment(
            plugin_id=plugin_id, supervisor_pid=1, listeners=CHAIN[plugin_id], sources=sources
        )
        world = self.worlds[plugin_id] = World()
        ready, ports = threading.Event(), []

        def work() -> None:
            ports.append(self.ports(plugin_id))
            loop = PluginLoop(Scripted(on_event=on_event), ports[0], environment, HELLO)
            ready.set()
            loop.run(world)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert ready.wait(DEADLINE)
        return thread

    def stop(self, plugin_id: str, thread: threading.Thread) -> None:
        self.worlds[plugin_id].stop = True
        self.exchange.sides[plugin_id].ring(1)
        thread.join(DEADLINE)
        assert not thread.is_alive()


@contextmanager
def chain() -> Iterator[Chain]:
    with ExitStack() as stack:
        yield Chain(stack)


class Head:
    """The first of the chain, whose ports the test drives by itself."""

    def __init__(self, chain: Chain) -> None:
        self.ports = chain.ports("a")
        self.announced: list[str] = []
        self.publisher = ResultPublisher(self.ports, CHAIN["a"], self.announced.append)

    def take(self) -> dict[int, int]:
        wakes = dict(self.ports.take_wakes())
        self.publisher.take(wakes)
        return wakes

    def joined(self) -> None:
        self.publisher.greet()
        until(lambda: any(81 <= event_id < 145 for event_id in self.take()))


def test_a_result_goes_through_a_chain_of_three() -> None:
    seen: list[tuple[Any, ...]] = []

    def pass_on(event: Event) -> None:
        event.results().push(PluginResult.json("more", {"was": event.data().decode()}))

    def note(event: Event) -> None:
        seen.append((event.kind, event.id, event.source, event.result_name, event.json(), event.missed))

    with chain() as rig:
        threads = {"b": rig.run("b", pass_on), "c": rig.run("c", note)}
        head = Head(rig)
        head.joined()
        head.publisher.publish(7, "first", b"data", DataFormat.BYTES)
        until(lambda: bool(seen))
        for plugin_id, thread in threads.items():
            rig.stop(plugin_id, thread)
    assert seen == [("PluginResultAvailable", 7, "b", "more", {"was": "data"}, 0)]
    assert head.announced == ["first"]


def test_a_large_result_arrives_whole_and_as_a_file() -> None:
    seen: list[tuple[bytes, bytes]] = []
    kept: list[Event] = []
    data = bytes(range(256)) * (20 << 12)  # 20 MiB: more than fits the buffer at once

    def note(event: Event) -> None:
        seen.append((event.data(), event.path().read_bytes()))
        kept.append(event)

    with chain() as rig:
        thread = rig.run("b", note)
        head = Head(rig)
        head.joined()
        sending = threading.Thread(target=head.publisher.publish, args=(1, "large", data, DataFormat.BYTES))
        sending.start()
        until(lambda: head.take() is not None and bool(seen))
        sending.join()
        rig.stop("b", thread)
    assert seen == [(data, data)]
    with pytest.raises(RuntimeError, match="on_event"):
        kept[0].data()


def test_a_subscriber_that_does_not_take_is_waited_for_once_and_learns_what_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plugin_runtime.publishing.SUBSCRIBER_PATIENCE_SECONDS", 0.05)
    seen: list[tuple[str | None, int]] = []
    may_go_on, is_stuck = threading.Event(), threading.Event()

    def stand_still(event: Event) -> None:
        is_stuck.set()
        assert may_go_on.wait(DEADLINE)
        seen.append((event.result_name, event.missed))

    monkeypatch.setattr("plugin_runtime.subscribing.MAX_WAITING", 1)
    with chain() as rig:
        thread = rig.run("b", stand_still)
        head = Head(rig)
        head.joined()
        for number in range(100):
            head.publisher.publish(1, f"r{number}", b"x", DataFormat.BYTES)
            head.take()
        assert is_stuck.wait(DEADLINE)
        assert head.publisher._listeners[0].is_behind
        may_go_on.set()
        until(lambda: head.take() is not None and not head.publisher._listeners[0].is_behind)
        head.publisher.publish(1, "last", b"x", DataFormat.BYTES)
        until(lambda: bool(seen) and seen[-1][0] == "last")
        rig.stop("b", thread)
    assert len(seen) + sum(missed for _, missed in seen) == 101
    assert seen[-1][1] > 0


def test_a_subscriber_that_was_never_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with chain() as rig:
        head = Head(rig)
        monkeypatch.setattr(head.publisher, "_wait_for_room", lambda patience: waits.append(patience) or patience)
        for _ in range(40):
            head.publisher.publish(1, "r", b"", DataFormat.BYTES)
        assert not head.publisher._listeners[0].has_no_room


def test_what_was_published_before_a_subscriber_came_is_counted() -> None:
    seen: list[int] = []
    with chain() as rig:
        head = Head(rig)
        for _ in range(3):
            head.publisher.publish(1, "early", b"", DataFormat.BYTES)
        thread = rig.run("b", lambda event: seen.append(event.missed))
        head.joined()
        head.publisher.publish(1, "late", b"", DataFormat.BYTES)
        until(lambda: bool(seen))
        rig.stop("b", thread)
    assert seen == [3]


def test_what_came_before_the_end_is_handled_before_it() -> None:
    seen: list[str | None] = []
    with chain() as rig:
        thread = rig.run("b", lambda event: seen.append(event.result_name))
        head = Head(rig)
        head.joined()
        for number in range(10):
            head.publisher.publish(1, str(number), b"", DataFormat.BYTES)
        rig.stop("b", thread)
    assert seen == [str(number) for number in range(10)]


def test_only_results_that_are_subscribed_to_have_data() -> None:
    with pytest.raises(ValueError, match="no result came with TaskCreated"):
        Event.task_created(1).data()


def test_pushing_on_where_nobody_subscribes_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()

    def push_twice(event: Event) -> None:
        event.results().push_bytes("x", b"")
        event.results().push_bytes("y", b"")
        done.set()

    with chain() as rig:
        middle = rig.ports("b")
        thread = rig.run("c", push_twice)
        publisher = ResultPublisher(middle, CHAIN["b"], [].append)
        publisher.publish(1, "first", b"", DataFormat.BYTES)
        assert done.wait(DEADLINE)
        rig.stop("c", thread)
    assert capfd.readouterr().err.count("reaches nobody") == 1
