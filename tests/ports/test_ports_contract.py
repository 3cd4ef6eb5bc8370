"""What both implementations of the ports promise of requests and responses; one suite for both."""

import os
import threading
import time
from collections.abc import Callable

import pytest
from port_rigs import DEADLINE, ID, Rig, frame, header_bytes, received

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader
from plugin_runtime.wire.names import CHUNK_SIZE, RESPONSE_WINDOW, DaemonWake, PluginWake, credit_wake


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_a_request_reaches_the_plugin_whole(rig: Rig, plugin: PluginPorts, size: int) -> None:
    payload = os.urandom(size)
    rig.supervisor.send_request(ID, TaskRequestHeader(7, 1), payload)
    request = plugin.receive_request()
    assert request is not None
    assert header_bytes(request.header) == header_bytes(TaskRequestHeader(7, 1))
    assert request.payload == payload
    assert plugin.receive_request() is None


def test_a_request_rings_the_plugin_and_a_response_the_supervisor(rig: Rig, plugin: PluginPorts) -> None:
    _, request = rig.request(plugin)
    plugin.wait(DEADLINE)
    assert plugin.take_wakes() == {PluginWake.TASK: 1}
    assert plugin.take_wakes() == {}
    assert request.send(frame())
    rig.supervisor.wait(DEADLINE)
    assert rig.supervisor.take_wakes() == {DaemonWake.RESPONSE: 1}
    assert rig.supervisor.take_wakes() == {}


def test_wakes_are_counted_by_id_and_none_is_lost(rig: Rig, plugin: PluginPorts) -> None:
    stream, _ = rig.request(plugin, task_id=70)
    for _ in range(300):
        stream.grant()
    rig.supervisor.publish_event(EventHeader(31), b"")
    assert plugin.take_wakes() == {PluginWake.TASK: 1, credit_wake(70): 300, PluginWake.DAEMON_EVENT: 1}


def test_what_was_rung_before_the_wait_ends_it(rig: Rig, plugin: PluginPorts) -> None:
    rig.request(plugin)
    begun = time.monotonic()
    plugin.wait(DEADLINE)
    assert time.monotonic() - begun < DEADLINE / 2


def test_responses_arrive_in_order_with_their_headers_and_payloads(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin, task_id=-3)
    assert stream.receive() is None
    payloads = [b"", os.urandom(CHUNK_SIZE), b"one and another", os.urandom(CHUNK_SIZE - 1)]
    assert request.send(frame(-3))
    assert request.send(frame(-3, payloads[1], index=1))
    assert request.send(frame(-3, b"one ", b"", b"and another", index=2))
    assert request.send(frame(-3, memoryview(payloads[3])[:5], memoryview(payloads[3])[5:], index=2**32 - 1))
    assert [received(stream) for _ in payloads] == list(zip([-3] * 4, [0, 1, 2, 2**32 - 1], payloads, strict=True))
    assert stream.receive() is None


def test_a_response_larger_than_a_chunk_arrives(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin)
    payload = os.urandom(3 * CHUNK_SIZE + 1)
    assert request.send(frame(1, payload))
    assert received(stream) == (1, 0, payload)


def test_the_window_goes_round_with_credits(rig: Rig, plugin: PluginPorts) -> None:
    assert plugin.uses_credits
    stream, request = rig.request(plugin, task_id=64 + 5)
    in_hand, sent, seen = RESPONSE_WINDOW, 0, []
    while len(seen) < 40:
        while in_hand and sent < 40:
            assert request.send(frame(69, b"x" * sent, index=sent))
            sent += 1
            in_hand -= 1
        seen.append(received(stream))
        stream.grant()
        plugin.wait(DEADLINE)
        in_hand += plugin.take_wakes().get(credit_wake(5), 0)
    assert seen == [(69, index, b"x" * index) for index in range(40)]
    assert in_hand == RESPONSE_WINDOW


def test_a_response_without_a_credit_is_lost_and_nothing_else(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin)
    for index in range(RESPONSE_WINDOW + 2):
        assert request.send(frame(1, index=index))
    assert [received(stream)[1] for _ in range(RESPONSE_WINDOW)] == [0, 1, 2, 3]
    assert stream.receive() is None


def test_blocking_flow_control_says_that_there_is_no_room(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(uses_credits=False)
    plugin = rig.open_plugin()
    assert not plugin.uses_credits
    stream, request = rig.request(plugin)
    for index in range(RESPONSE_WINDOW):
        assert request.send(frame(1, b"x" * CHUNK_SIZE, index=index))
    assert [request.send(frame(1, b"y" * CHUNK_SIZE, index=9)) for _ in range(20)] == [False] * 20
    assert received(stream)[1] == 0
    assert stream.receive() is not None
    assert request.send(frame(1, b"z", index=10))
    assert [received(stream)[1:] for _ in range(3)] == [(2, b"x" * CHUNK_SIZE), (3, b"x" * CHUNK_SIZE), (10, b"z")]
    assert stream.receive() is None


def test_blocking_flow_control_waits_for_room_while_other_threads_run(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(uses_credits=False)
    plugin = rig.open_plugin()
    stream, request = rig.request(plugin)
    refused = threading.Event()

    def send_all() -> None:
        for index in range(50):
            while not request.send(frame(1, b"x" * index, index=index)):
                refused.set()

    sender = threading.Thread(target=send_all)
    sender.start()
    assert refused.wait(DEADLINE)
    seen: list[tuple[int, int, bytes]] = []
    while len(seen) < 50:
        if (answer := stream.receive()) is None:
            rig.supervisor.wait(DEADLINE)
            rig.supervisor.take_wakes()
        else:
            seen.append((answer.header.task_id, answer.header.chunk_index, bytes(answer.payload)))
    sender.join(DEADLINE)
    assert seen == [(1, index, b"x" * index) for index in range(50)]


def test_a_request_to_nobody_raises(rig: Rig) -> None:
    with pytest.raises(PeerGone, match=f"plugin {ID} does not serve tasks"):
        rig.supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
    rig.open_plugin().close()
    with pytest.raises(PeerGone):
        rig.supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")


def test_a_plugin_that_was_not_added_is_named(rig: Rig) -> None:
    with pytest.raises(TransportError, match="plugin other was not added"):
        rig.supervisor.send_request("other", TaskRequestHeader(1, 0), b"")
    with pytest.raises(TransportError, match="plugin other was not added"):
        rig.supervisor.receive_event("other")


@pytest.mark.parametrize("uses_credits", [True, False], ids=["credits", "blocking"])
@pytest.mark.parametrize("end", ["stream", "supervisor", "request", "plugin"])
def test_sending_where_one_end_let_go_raises(make_rig: Callable[..., Rig], end: str, uses_credits: bool) -> None:
    rig = make_rig(uses_credits=uses_credits)
    plugin = rig.open_plugin()
    stream, request = rig.request(plugin)
    assert request.send(frame())
    assert request.is_open
    {"stream": stream, "supervisor": rig.supervisor, "request": request, "plugin": plugin}[end].close()
    assert not request.is_open
    with pytest.raises(PeerGone):
        request.send(frame())


def test_what_the_plugin_sent_before_it_closed_arrives(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin)
    request.send(frame(1, b"first words"))
    assert received(stream) == (1, 0, b"first words")
    plugin.publish_event(EventHeader(10), b"started")
    assert rig.supervisor.receive_event(ID) is not None
    request.send(frame(1, b"last words"))
    plugin.publish_event(EventHeader(11), b"stopped")
    plugin.close()
    assert received(stream) == (1, 0, b"last words")
    assert stream.receive() is None
    event = rig.supervisor.receive_event(ID)
    assert event is not None
    assert event.payload == b"stopped"


def test_closing_is_allowed_twice_and_in_any_order(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin)
    request.send(frame())
    for closing in (plugin, request, rig.supervisor, stream):
        closing.close()
        closing.close()
    assert stream.receive() is None


def test_closed_ports_raise_instead_of_ending_the_process(rig: Rig, plugin: PluginPorts) -> None:
    plugin.close()
    rig.supervisor.close()
    for use in (
        lambda: plugin.wait(0),
        lambda: plugin.watch(0),
        plugin.take_wakes,
        plugin.receive_request,
        plugin.receive_event,
        lambda: plugin.publish_event(EventHeader(11), b""),
        lambda: plugin.beat(0),
        lambda: rig.supervisor.wait(0),
        rig.supervisor.take_wakes,
        lambda: rig.supervisor.add_plugin("other"),
        lambda: rig.supervisor.remove_plugin(ID),
        lambda: rig.supervisor.ask_stop(ID),
        lambda: rig.supervisor.receive_event(ID),
        lambda: rig.supervisor.publish_event(EventHeader(30), b""),
        lambda: rig.supervisor.send_request(ID, TaskRequestHeader(1, 0), b""),
        lambda: rig.supervisor.clean_up_after(1),
    ):
        with pytest.raises(TransportError, match="ports were closed"):
            use()


@pytest.mark.parametrize("uses_credits", [True, False], ids=["credits", "blocking"])
def test_ports_can_be_closed_while_another_thread_sends(make_rig: Callable[..., Rig], uses_credits: bool) -> None:
    rig = make_rig(uses_credits=uses_credits)
    plugin = rig.open_plugin()
    _, request = rig.request(plugin)
    under_way, ended = threading.Event(), threading.Event()
    errors: list[type[BaseException]] = []

    def send_for_ever() -> None:
        try:
            while True:
                request.send(frame(1, b"x" * 1000))
                plugin.publish_event(EventHeader(22), b"x")
                under_way.set()
        except TransportError as error:
            errors.append(type(error))
        ended.set()

    threading.Thread(target=send_for_ever, daemon=True).start()
    assert under_way.wait(DEADLINE)
    plugin.close()
    assert ended.wait(DEADLINE)
    assert errors in ([PeerGone], [TransportError])


@pytest.mark.parametrize("unread", range(RESPONSE_WINDOW + 1))
def test_unread_responses_do_not_take_the_room_of_later_requests(rig: Rig, plugin: PluginPorts, unread: int) -> None:
    for task_id in range(1, 15):
        stream, request = rig.request(plugin, task_id)
        for index in range(RESPONSE_WINDOW):
            request.send(frame(task_id, index=index))
        seen = [received(stream)[:2] for _ in range(RESPONSE_WINDOW - (unread if task_id < 8 else 0))]
        assert seen == [(task_id, index) for index in range(len(seen))]
        if task_id % 2:
            stream.close()
            request.close()
        else:
            request.close()
            stream.close()


def test_the_payload_of_a_response_is_valid_until_the_next_one(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin)
    request.send(frame(1, b"first"))
    request.send(frame(1, b"second"))
    first = stream.receive()
    assert first is not None
    request.send(frame(1, b"third"))
    assert bytes(first.payload) == b"first"
    assert first.header.task_id == 1
    assert [received(stream)[2] for _ in range(2)] == [b"second", b"third"]


def test_tasks_follow_one_another(rig: Rig, plugin: PluginPorts) -> None:
    for task_id in range(1, 30):
        stream, request = rig.request(plugin, task_id, b"p" * task_id)
        assert (request.header.task_id, request.payload) == (task_id, b"p" * task_id)
        request.send(frame(task_id))
        request.close()
        assert received(stream) == (task_id, 0, b"")
        stream.close()


def test_a_second_request_travels_while_the_first_is_open(rig: Rig, plugin: PluginPorts) -> None:
    stream, request = rig.request(plugin, 1)
    request.send(frame(1, index=0))
    cancel = rig.supervisor.send_request(ID, TaskRequestHeader(1, 1), b"")
    told = plugin.receive_request()
    assert told is not None
    assert (told.header.task_id, told.header.request_type) == (1, 1)
    told.close()
    request.send(frame(1, index=1))
    assert cancel.receive() is None
    assert [received(stream)[1] for _ in range(2)] == [0, 1]
    cancel.close()
    assert request.is_open


def test_a_plugin_is_served_again_after_it_closed(rig: Rig) -> None:
    first = rig.open_plugin()
    stream, _ = rig.request(first)
    rig.supervisor.send_request(ID, TaskRequestHeader(2, 0), b"never received")
    first.close()
    second = rig.open_plugin()
    assert second.receive_request() is None
    assert second.take_wakes() == {}
    assert stream.receive() is None
    again, request = rig.request(second, 3)
    request.send(frame(3, b"of the second"))
    assert received(again) == (3, 0, b"of the second")


def test_an_id_is_served_by_one_at_a_time(rig: Rig, plugin: PluginPorts) -> None:
    with pytest.raises(
        TransportError, match=f"cannot serve the tasks of plugin {ID}: another process holds that place"
    ):
        rig.open_plugin()
    _, request = rig.request(plugin)
    assert request.is_open
