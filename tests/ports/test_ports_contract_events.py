"""What both implementations of the ports promise of events and waits; one suite for both."""

import os
import signal
import socket
import threading
import time

import pytest
from port_rigs import DEADLINE, ID, Rig, frame, header_bytes, received

from plugin_runtime.errors import TransportError
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader
from plugin_runtime.wire.names import BEAT_SLOTS, DaemonWake, PluginWake, beat_wake


def test_events_of_the_plugin_reach_the_supervisor(rig: Rig, plugin: PluginPorts) -> None:
    assert rig.supervisor.receive_event(ID) is None
    plugin.publish_event(EventHeader(2, source_plugin_id=5, associated_id=9), b"")
    plugin.publish_event(EventHeader(10, source_plugin_id=-1, associated_id=-2), b"x" * 5000)
    rig.supervisor.wait(DEADLINE)
    assert rig.supervisor.take_wakes() == {DaemonWake.EVENT: 2}
    events = [rig.supervisor.receive_event(ID) for _ in range(3)]
    assert [event and (header_bytes(event.header), event.payload, event.pid) for event in events] == [
        (header_bytes(EventHeader(2, source_plugin_id=5, associated_id=9)), b"", os.getpid()),
        (header_bytes(EventHeader(10, source_plugin_id=-1, associated_id=-2)), b"x" * 5000, os.getpid()),
        None,
    ]


def test_events_of_the_supervisor_reach_the_plugin(rig: Rig, plugin: PluginPorts) -> None:
    assert plugin.receive_event() is None
    rig.supervisor.publish_event(EventHeader(31), b"")
    rig.supervisor.publish_event(EventHeader(12, source_plugin_id=1, associated_id=2), b"source\0name")
    plugin.wait(DEADLINE)
    assert plugin.take_wakes() == {PluginWake.DAEMON_EVENT: 2}
    events = [plugin.receive_event() for _ in range(3)]
    assert [event and (header_bytes(event.header), event.payload, event.pid) for event in events] == [
        (header_bytes(EventHeader(31)), b"", os.getpid()),
        (header_bytes(EventHeader(12, source_plugin_id=1, associated_id=2)), b"source\0name", os.getpid()),
        None,
    ]


def test_of_too_many_events_the_newest_stay(rig: Rig, plugin: PluginPorts) -> None:
    for number in range(40):
        plugin.publish_event(EventHeader(2, source_plugin_id=0, associated_id=number), b"")
        rig.supervisor.publish_event(EventHeader(31, source_plugin_id=0, associated_id=number), b"")
    from_plugin = [event.header.associated_id for event in iter(lambda: rig.supervisor.receive_event(ID), None)]
    from_supervisor = [event.header.associated_id for event in iter(plugin.receive_event, None)]
    assert from_plugin == from_supervisor == list(range(8, 40))


def test_events_with_nobody_to_read_them_are_no_error(rig: Rig) -> None:
    rig.supervisor.publish_event(EventHeader(30), b"")
    assert rig.open_plugin().receive_event() is None


def test_one_plugin_alone_hears_that_it_is_to_stop(rig: Rig, plugin: PluginPorts) -> None:
    rig.supervisor.add_plugin("other")
    rig.supervisor.ask_stop("other")
    rig.supervisor.ask_stop(ID)
    plugin.wait(DEADLINE)
    assert plugin.take_wakes() == {PluginWake.STOP: 1}
    assert plugin.receive_event() is None


def test_the_word_to_stop_is_heard_by_whoever_listens_then_and_nobody_later(rig: Rig) -> None:
    rig.supervisor.ask_stop(ID)
    assert rig.open_plugin().take_wakes() == {}
    with pytest.raises(TransportError, match="plugin other was not added"):
        rig.supervisor.ask_stop("other")


def test_heartbeats_reach_the_supervisor_with_their_slot(rig: Rig, plugin: PluginPorts) -> None:
    last = BEAT_SLOTS - 1
    plugin.beat(0)
    plugin.beat(last)
    plugin.beat(0)
    rig.supervisor.wait(DEADLINE)
    assert rig.supervisor.take_wakes() == {beat_wake(0): 2, beat_wake(last): 1}
    with pytest.raises(ValueError, match="no heartbeat slot 120"):
        plugin.beat(BEAT_SLOTS)


def test_a_plugin_that_was_removed_is_as_one_that_never_was_and_can_be_added_again(rig: Rig) -> None:
    rig.supervisor.add_plugin("other")
    for turn in range(3):
        plugin = rig.open_plugin()
        stream, request = rig.request(plugin, turn, b"of this turn")
        request.send(frame(turn, b"never received"))
        rig.supervisor.send_request(ID, TaskRequestHeader(9, 0), b"never received")
        plugin.publish_event(EventHeader(10), b"never received")
        plugin.close()

        rig.supervisor.remove_plugin(ID)

        assert stream.receive() is None
        stream.grant()
        stream.close()
        rig.supervisor.publish_event(EventHeader(31), b"")
        uses = (
            lambda: rig.supervisor.send_request(ID, TaskRequestHeader(1, 0), b""),
            lambda: rig.supervisor.receive_event(ID),
            lambda: rig.supervisor.ask_stop(ID),
            lambda: rig.supervisor.remove_plugin(ID),
        )
        for use in uses:
            with pytest.raises(TransportError, match=f"plugin {ID} was not added"):
                use()
        rig.supervisor.add_plugin(ID)
        assert rig.supervisor.receive_event(ID) is None
    assert rig.supervisor.receive_event("other") is None
    plugin = rig.open_plugin()
    assert (plugin.take_wakes(), plugin.receive_request(), plugin.receive_event()) == ({}, None, None)
    stream, request = rig.request(plugin, 5)
    request.send(frame(5, b"of the last"))
    assert received(stream) == (5, 0, b"of the last")


@pytest.mark.parametrize("end", ["supervisor", "plugin"])
def test_a_watched_descriptor_ends_the_wait_until_it_is_unwatched(rig: Rig, plugin: PluginPorts, end: str) -> None:
    ports = {"supervisor": rig.supervisor, "plugin": plugin}[end]
    fd = os.eventfd(1)
    ports.watch(fd)
    for _ in range(2):  # level-triggered
        begun = time.monotonic()
        ports.wait(DEADLINE)
        assert time.monotonic() - begun < DEADLINE / 2
    ports.unwatch(fd)
    ports.unwatch(fd)
    begun = time.monotonic()
    ports.wait(0.02)
    assert time.monotonic() - begun >= 0.019
    ports.watch(fd)
    ports.wait(None)
    ports.close()
    assert os.eventfd_read(fd) == 1  # it stays its owner's
    os.close(fd)


@pytest.mark.parametrize("timeout", [0.0, 0.03])
def test_a_wait_ends_with_its_timeout(rig: Rig, timeout: float) -> None:
    begun = time.monotonic()
    rig.supervisor.wait(timeout)
    assert timeout - 0.001 <= time.monotonic() - begun < timeout + DEADLINE


def test_a_signal_ends_the_wait(rig: Rig) -> None:
    came = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    fd_before = signal.set_wakeup_fd(writer.fileno())
    before = signal.signal(signal.SIGUSR1, lambda *_: came.set())
    try:
        rig.supervisor.watch(reader.fileno())
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        rig.supervisor.wait(DEADLINE)
        assert came.wait(DEADLINE / 2)
        timer.join()
        os.kill(os.getpid(), signal.SIGUSR1)  # one that comes before the wait is not lost either
        rig.supervisor.wait(DEADLINE)
        rig.supervisor.unwatch(reader.fileno())
    finally:
        signal.set_wakeup_fd(fd_before)
        signal.signal(signal.SIGUSR1, before)
        reader.close()
        writer.close()
