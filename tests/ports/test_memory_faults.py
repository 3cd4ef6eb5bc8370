"""The switches of the in-memory ports: what goes wrong between processes, at will."""

import threading

import pytest
from port_rigs import DEADLINE, ID, frame, received

from plugin_runtime.errors import PeerGone
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.names import credit_wake


def test_full_withholds_credits_until_it_is_switched_off() -> None:
    exchange = MemoryExchange()
    with exchange.supervisor() as supervisor, exchange.plugin(ID) as plugin:
        supervisor.add_plugin(ID)
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        plugin.take_wakes()
        exchange.faults.full = True
        stream.grant()
        stream.grant()
        assert stream.receive() is None
        assert plugin.take_wakes() == {}
        exchange.faults.full = False
        assert stream.receive() is None
        assert plugin.take_wakes() == {credit_wake(1): 2}
        stream.grant()
        assert plugin.take_wakes() == {credit_wake(1): 1}


def test_full_leaves_no_room_for_blocking_sends_until_it_is_switched_off() -> None:
    exchange = MemoryExchange(uses_credits=False)
    with exchange.supervisor() as supervisor, exchange.plugin(ID) as plugin:
        supervisor.add_plugin(ID)
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        request = plugin.receive_request()
        assert request is not None
        exchange.faults.full = True
        assert request.send(frame()) is False
        assert stream.receive() is None
        sent = threading.Event()

        def send() -> None:
            while not request.send(frame(1, b"at last")):
                pass
            sent.set()

        threading.Thread(target=send).start()
        exchange.faults.full = False
        exchange.changed()
        assert sent.wait(DEADLINE)
        assert received(stream)[2] == b"at last"


def test_drop_loses_responses_on_the_way() -> None:
    exchange = MemoryExchange()
    with exchange.supervisor() as supervisor, exchange.plugin(ID) as plugin:
        supervisor.add_plugin(ID)
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        request = plugin.receive_request()
        assert request is not None
        exchange.faults.drop = True
        assert request.send(frame(1, index=0))
        exchange.faults.drop = False
        assert request.send(frame(1, index=1))
        assert received(stream)[1] == 1
        assert stream.receive() is None


def test_disconnect_means_that_the_other_side_is_gone() -> None:
    exchange = MemoryExchange()
    with exchange.supervisor() as supervisor, exchange.plugin(ID) as plugin:
        supervisor.add_plugin(ID)
        supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        request = plugin.receive_request()
        assert request is not None
        exchange.faults.disconnect = True
        assert not request.is_open
        with pytest.raises(PeerGone):
            request.send(frame())
        with pytest.raises(PeerGone):
            supervisor.send_request(ID, TaskRequestHeader(2, 0), b"")
        exchange.faults.disconnect = False
        assert request.is_open
        assert request.send(frame())


def test_a_blocking_send_ends_when_the_other_side_goes() -> None:
    exchange = MemoryExchange(uses_credits=False)
    with exchange.supervisor() as supervisor, exchange.plugin(ID) as plugin:
        supervisor.add_plugin(ID)
        supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        request = plugin.receive_request()
        assert request is not None
        exchange.faults.full = True
        refused, ended = threading.Event(), threading.Event()

        def send() -> None:
            try:
                while not request.send(frame()):
                    refused.set()
            except PeerGone:
                ended.set()

        threading.Thread(target=send).start()
        assert refused.wait(DEADLINE)
        exchange.faults.disconnect = True
        exchange.changed()
        assert ended.wait(DEADLINE)
