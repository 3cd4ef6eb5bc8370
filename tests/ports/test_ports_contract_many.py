"""What both implementations of the ports promise where one plugin has several requests at once; one suite for both."""

import threading
from collections.abc import Callable

import pytest
from port_rigs import DEADLINE, ID, Rig, frame, received

from plugin_runtime.errors import PeerGone
from plugin_runtime.ports.base import IncomingRequest, PluginPorts, ResponseStream
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.names import CHUNK_SIZE, CREDIT_SLOTS, RESPONSE_WINDOW, credit_wake

MANY = 32
CANCEL, HEALTH = 1, 2

Made = tuple[Rig, PluginPorts, dict[int, ResponseStream], dict[int, IncomingRequest]]


@pytest.fixture
def many(make_rig: Callable[..., Rig]) -> Made:
    """A rig, a plugin, and `MANY` requests that were sent and received, by their tasks' ids from 1 up."""
    rig = make_rig(concurrency=MANY)
    plugin = rig.open_plugin()
    streams = {task_id: send(rig, task_id) for task_id in range(1, MANY + 1)}
    return rig, plugin, streams, {request.header.task_id: request for request in drained(plugin)}


def send(rig: Rig, task_id: int, request_type: int = 0) -> ResponseStream:
    return rig.supervisor.send_request(ID, TaskRequestHeader(task_id, request_type), b"%d" % task_id)


def drained(plugin: PluginPorts) -> list[IncomingRequest]:
    requests = []
    while (request := plugin.receive_request()) is not None:
        requests.append(request)
    return requests


def test_requests_arrive_in_order_each_with_its_own_payload(many: Made) -> None:
    _, _, streams, requests = many
    assert list(requests) == list(streams)
    assert all(request.payload == b"%d" % task_id for task_id, request in requests.items())
    assert all(request.is_open for request in requests.values())


def test_there_is_room_for_a_cancel_of_each_and_for_a_question_after_its_health(many: Made) -> None:
    rig, plugin, streams, _ = many
    cancels = [send(rig, task_id, CANCEL) for task_id in streams]
    question = send(rig, 0, HEALTH)
    headers = [request.header for request in drained(plugin)]
    assert [header.task_id for header in headers] == [*streams, 0]
    assert [header.request_type for header in headers] == [CANCEL] * MANY + [HEALTH]
    for stream in (question, *cancels):
        stream.close()


def test_each_has_a_window_of_its_own_and_all_of_them_can_be_full(many: Made) -> None:
    _, _, streams, requests = many
    for index in range(RESPONSE_WINDOW):
        for task_id, request in requests.items():
            assert request.send(frame(task_id, b"%d %d" % (task_id, index), index=index))
    for task_id, stream in reversed(streams.items()):
        assert [received(stream) for _ in range(RESPONSE_WINDOW)] == [
            (task_id, index, b"%d %d" % (task_id, index)) for index in range(RESPONSE_WINDOW)
        ]
        assert stream.receive() is None


def test_a_frame_of_each_can_be_held_while_the_windows_are_full_again(many: Made) -> None:
    _, _, streams, requests = many
    for task_id, request in requests.items():
        for index in range(RESPONSE_WINDOW):
            assert request.send(frame(task_id, b"%d" % task_id, index=index))
    held = {task_id: stream.receive() for task_id, stream in streams.items()}
    for task_id, request in requests.items():
        assert request.send(frame(task_id, b"last", index=RESPONSE_WINDOW))
    assert {task_id: bytes(answer.payload) for task_id, answer in held.items() if answer} == {
        task_id: b"%d" % task_id for task_id in streams
    }
    for stream in streams.values():
        assert [received(stream)[1] for _ in range(RESPONSE_WINDOW)] == [1, 2, 3, 4]


def test_a_full_window_does_not_keep_the_others_from_sending(many: Made) -> None:
    _, _, streams, requests = many
    for index in range(RESPONSE_WINDOW):
        assert requests[1].send(frame(1, b"x" * CHUNK_SIZE, index=index))
    for index in range(20):
        assert requests[2].send(frame(2, index=index))
        assert received(streams[2])[1] == index
    assert [received(streams[1])[1] for _ in range(RESPONSE_WINDOW)] == [0, 1, 2, 3]


def test_a_full_window_that_blocks_leaves_the_others_their_turns(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(uses_credits=False, concurrency=2)
    plugin = rig.open_plugin()
    (full, blocked), (other, request) = rig.request(plugin, 1), rig.request(plugin, 2)
    for index in range(RESPONSE_WINDOW):
        assert blocked.send(frame(1, index=index))
    refused, done = threading.Event(), threading.Event()

    def send_all() -> None:
        while not blocked.send(frame(1, index=RESPONSE_WINDOW)):
            refused.set()
        done.set()

    threading.Thread(target=send_all, daemon=True).start()
    assert refused.wait(DEADLINE)
    for index in range(5):
        assert request.send(frame(2, index=index))
        assert received(other)[1] == index
    assert not done.is_set()
    assert received(full)[1] == 0
    assert done.wait(DEADLINE)


def test_credits_are_counted_by_task(many: Made) -> None:
    _, plugin, streams, _ = many
    plugin.take_wakes()
    for task_id, stream in streams.items():
        for _ in range(task_id):
            stream.grant()
    assert plugin.take_wakes() == {credit_wake(task_id): task_id for task_id in streams}
    assert len({credit_wake(task_id) for task_id in range(CREDIT_SLOTS)}) == CREDIT_SLOTS > MANY


@pytest.mark.parametrize("unread", range(RESPONSE_WINDOW + 1))
def test_one_that_is_let_go_of_disturbs_no_other_and_its_place_is_taken_again(many: Made, unread: int) -> None:
    rig, plugin, streams, requests = many
    for again in range(5):
        gone = 7 + again
        for index in range(unread):
            assert requests[gone].send(frame(gone, index=index))
        streams.pop(gone).close()
        with pytest.raises(PeerGone):
            requests[gone].send(frame(gone))
        requests.pop(gone).close()
        new = 1000 + again
        streams[new] = send(rig, new)
        (requests[new],) = drained(plugin)
        for task_id, request in requests.items():
            assert request.send(frame(task_id, b"%d" % task_id, index=again))
        for task_id, stream in streams.items():
            assert received(stream) == (task_id, again, b"%d" % task_id)
            assert stream.receive() is None


def test_closing_the_plugin_ends_all_of_them(many: Made) -> None:
    _, plugin, streams, requests = many
    for task_id, request in requests.items():
        request.send(frame(task_id, b"first"))
    assert all(received(stream)[2] == b"first" for stream in streams.values())
    for task_id, request in requests.items():
        request.send(frame(task_id, b"last"))
    plugin.close()
    assert not any(request.is_open for request in requests.values())
    assert all(received(stream)[2] == b"last" for stream in streams.values())


def test_closing_the_supervisor_ends_all_of_them(many: Made) -> None:
    rig, _, streams, requests = many
    rig.supervisor.close()
    assert not any(request.is_open for request in requests.values())
    assert [stream.receive() for stream in streams.values()] == [None] * MANY


def test_threads_send_side_by_side(many: Made) -> None:
    rig, plugin, streams, requests = many
    frames, chunk = 40, b"z" * 100_000
    errors: list[BaseException] = []
    credits_of = {task_id: threading.Semaphore(RESPONSE_WINDOW) for task_id in requests}

    def send_all(task_id: int) -> None:
        try:
            for index in range(frames):
                assert credits_of[task_id].acquire(timeout=DEADLINE)
                assert requests[task_id].send(frame(task_id, b"%d" % task_id, chunk, index=index))
        except BaseException as error:  # noqa: BLE001 - whatever it is fails the test
            errors.append(error)

    threads = [threading.Thread(target=send_all, args=(task_id,)) for task_id in requests]
    for thread in threads:
        thread.start()
    seen: dict[int, int] = dict.fromkeys(streams, 0)
    while any(count < frames for count in seen.values()):
        rig.supervisor.wait(DEADLINE)
        rig.supervisor.take_wakes()
        for task_id, stream in streams.items():
            while (answer := stream.receive()) is not None:
                assert (answer.header.task_id, answer.header.chunk_index) == (task_id, seen[task_id])
                assert bytes(answer.payload) == b"%d" % task_id + chunk
                seen[task_id] += 1
                stream.grant()
        for event_id, count in plugin.take_wakes().items():
            for task_id in requests:
                if credit_wake(task_id) == event_id:
                    credits_of[task_id].release(count)
    for thread in threads:
        thread.join(DEADLINE)
    assert errors == []
