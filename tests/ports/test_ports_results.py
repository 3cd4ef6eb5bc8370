"""What both implementations of the ports promise of result channels."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from iceoryx_domains import fresh_domain

from plugin_runtime.errors import TransportError
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.messages import DataFormat
from plugin_runtime.wire.names import CHUNK_SIZE
from plugin_runtime.wire.published import PublishedFrame, published_frames

Open = Callable[..., PluginPorts]
BUFFER = 16


@pytest.fixture(params=["memory", "iceoryx"])
def open_plugin(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the ports of a plugin."""
    with ExitStack() as stack:
        if request.param == "memory":
            exchange = MemoryExchange()
            supervisor = stack.enter_context(exchange.supervisor())
            opened: Open = exchange.plugin
        else:
            domain = stack.enter_context(fresh_domain())
            supervisor = stack.enter_context(IceoryxSupervisorPorts(domain))

            def opened(plugin_id: str, **links: list[str]) -> PluginPorts:
                return IceoryxPluginPorts(domain, plugin_id, uses_credits=True, **links)

        for plugin_id in ("a", "b", "c"):
            supervisor.add_plugin(plugin_id)
        yield lambda *arguments, **links: stack.enter_context(opened(*arguments, **links))


def frames(data: bytes, sequence: int = 1) -> list[PublishedFrame]:
    return list(published_frames(1, "name", data, DataFormat.BYTES, sequence))


def received(ports: PluginPorts, source: str = "a") -> list[tuple[int, bytes, int]]:
    found = []
    while (one := ports.receive_result(source)) is not None:
        found.append((one.header.sequence_low, bytes(one.payload), one.pid))
    return found


def test_every_subscriber_gets_what_is_published(open_plugin: Open) -> None:
    publisher = open_plugin("a", listeners=["b", "c"])
    subscribers = [open_plugin(plugin_id, sources=["a"]) for plugin_id in ("b", "c")]
    data = os.urandom(CHUNK_SIZE + 10)
    for frame in frames(data, 5):
        publisher.publish_result(frame)
    for subscriber in subscribers:
        assert b"".join(payload for _, payload, _ in received(subscriber)) == b"name" + data
    publisher.publish_result(frames(b"", 6)[0])
    assert received(subscribers[0]) == [(6, b"name", os.getpid())]


def test_who_has_no_room_does_not_get_it_and_the_others_do(open_plugin: Open) -> None:
    publisher = open_plugin("a", listeners=["b", "c"])
    full, reads = open_plugin("b", sources=["a"]), open_plugin("c", sources=["a"])
    got = 0
    for sequence in range(1, 41):
        publisher.publish_result(frames(b"x", sequence)[0])
        got += len(received(reads))
    assert got == 40
    assert [sequence for sequence, _, _ in received(full)] == list(range(1, BUFFER + 1))
    publisher.publish_result(frames(b"x", 41)[0])
    assert [sequence for sequence, _, _ in received(full)] == [41]


def test_plugins_that_share_results_can_ring_each_other(open_plugin: Open) -> None:
    publisher, subscriber = open_plugin("a", listeners=["b"]), open_plugin("b", sources=["a"])
    publisher.ring_plugin("b", 209)
    assert subscriber.take_wakes() == {209: 1}
    subscriber.ring_plugin("a", 81 + 63)
    subscriber.ring_plugin("a", 145 + 63)
    assert publisher.take_wakes() == {81 + 63: 1, 145 + 63: 1}
    with pytest.raises(TransportError):
        publisher.ring_plugin("c", 2)


def test_a_plugin_that_does_not_share_results_has_no_channel(open_plugin: Open) -> None:
    ports = open_plugin("a")
    with pytest.raises(TransportError):
        ports.publish_result(frames(b"x")[0])
    with pytest.raises(TransportError):
        ports.receive_result("b")


def test_a_publisher_that_comes_again_is_heard_by_who_was_there_before(open_plugin: Open) -> None:
    subscriber = open_plugin("b", sources=["a"])
    for sequence in (1, 2):
        with open_plugin("a", listeners=["b"]) as publisher:
            publisher.publish_result(frames(b"x", sequence)[0])
            assert [one[0] for one in received(subscriber)] == [sequence]
