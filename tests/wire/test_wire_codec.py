import json
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_vectors import block, text_of, vectors

from plugin_runtime.errors import ProtocolError, ResultRefused, UnknownValue
from plugin_runtime.wire import codec
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.headers import IS_FINAL, EventHeader, TaskRequestHeader
from plugin_runtime.wire.messages import (
    Cancel,
    DataFormat,
    EventKind,
    EventMessage,
    Execute,
    HealthQuestion,
    ProgressUpdate,
    Request,
    ResponseKind,
    TaskRequest,
)
from plugin_runtime.wire.names import CHUNK_SIZE
from plugin_runtime.wire.text import encodable

LIMIT = codec.MAX_MESSAGE_BYTES
TOO_BIG = [2**31, -(2**31) - 1]

i32 = st.integers(-(2**31), 2**31 - 1)
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=63)


def payload_of(frame: codec.Frame) -> bytes:
    return b"".join(bytes(part) for part in frame.parts)


REQUESTS = [
    (Execute(1, TaskRequest("/tmp/a", (("k", "v"),))), "0100000000000000", "062f746d702f6101016b0176"),
    (Cancel(-(2**31)), "0000008001000000", ""),
    (Execute(2**31 - 1, TaskRequest("")), "ffffff7f00000000", "0000"),
    (HealthQuestion(), "0000000002000000", ""),
]


@pytest.mark.parametrize(("request_", "header", "payload"), REQUESTS, ids=["execute", "cancel", "empty", "health"])
def test_a_request_is_this_header_and_payload_in_both_directions(request_: Request, header: str, payload: str) -> None:
    encoded, data = codec.encode_request(request_)
    assert (bytes(encoded).hex(), data.hex()) == (header, payload)
    assert codec.decode_request(TaskRequestHeader.from_buffer_copy(bytes.fromhex(header)), data) == request_


@given(i32, st.text(), st.lists(st.tuples(st.text(), st.text())).map(tuple))
def test_every_request_comes_back(task_id: int, path: str, config: tuple[tuple[str, str], ...]) -> None:
    for request in (Execute(task_id, TaskRequest(path, config)), Cancel(task_id)):
        assert codec.decode_request(*codec.encode_request(request)) == request


@given(st.builds(TaskRequestHeader, i32, st.sampled_from([0, 1, 2]) | st.integers(0, 255)), st.binary(max_size=40))
def test_any_request_is_a_request_or_a_protocol_error(header: TaskRequestHeader, payload: bytes) -> None:
    if header.request_type > 2:
        with pytest.raises(UnknownValue, match=f"request_type {header.request_type}") as caught:
            codec.decode_request(header, payload)
        assert (caught.value.field, caught.value.number) == ("request_type", header.request_type)
        return
    try:
        request = codec.decode_request(header, payload)
    except ProtocolError:
        assert header.request_type == 0
    else:
        assert getattr(request, "task_id", 0) == (0 if header.request_type == 2 else header.task_id)


@pytest.mark.parametrize("number", TOO_BIG)
def test_an_id_over_32_bits_is_refused_instead_of_cut(number: int) -> None:
    calls: list[Callable[[], object]] = [
        lambda: codec.encode_request(Cancel(number)),
        lambda: codec.result_frames(number, "r", b"", DataFormat.BYTES),
        lambda: codec.progress_frame(number, 0, ""),
        lambda: codec.file_ref_frame(number, "r", "/a"),
        lambda: codec.error_frame(number, ""),
        lambda: codec.final_frame(number),
        lambda: codec.encode_event(EventMessage(EventKind.TASK_CREATED, number)),
        lambda: codec.encode_event(EventMessage(EventKind.TASK_CREATED, 0, number)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"{number} does not fit 32 bits"):
            call()


@pytest.mark.parametrize("case", vectors()["results_as_frames"], ids=lambda case: str(case["data_len"]))
def test_a_result_is_the_table_s_frames_and_the_frames_are_the_result(case: dict[str, Any]) -> None:
    name, data = text_of(case["name"]), block(case["data_len"])
    frames = list(codec.result_frames(7, name, data, DataFormat.POSTCARD))
    fields = ("flags", "name_len", "chunk_index", "total_size")
    sent = [{field: getattr(frame.header, field) for field in fields} | {"payload_len": frame.size} for frame in frames]
    assert sent == case["frames"]
    assert {(frame.header.task_id, frame.header.kind, frame.header.format) for frame in frames} == {(7, 0, 2)}
    assert b"".join(map(payload_of, frames)) == name.encode() + bytes(data)


@given(names, st.sampled_from([0, 1, 2, 3]), st.integers(-260, 260))
def test_a_result_that_is_cut_and_put_together_is_the_result(name: str, mebibytes: int, more: int) -> None:
    data = block(max(0, mebibytes * CHUNK_SIZE + more))
    reassembler = Reassembler(7)
    at = 0
    lasts = []
    for frame in codec.result_frames(7, name, data, DataFormat.JSON):
        assert frame.size <= CHUNK_SIZE
        piece = reassembler.feed(frame.header, memoryview(payload_of(frame)))
        assert (piece.name, piece.offset, piece.total_size) == (name, at, len(data))
        assert piece.data == data[at : at + len(piece.data)]
        at += len(piece.data)
        lasts.append(piece.is_last)
    assert at == len(data)
    assert lasts == [False] * (len(lasts) - 1) + [True]


def test_the_frames_of_a_result_are_views_of_its_data() -> None:
    data = bytearray(2 * CHUNK_SIZE)
    frames = list(codec.result_frames(7, "r", data, DataFormat.BYTES))
    data[:] = b"x" * len(data)
    assert b"".join(map(payload_of, frames)) == b"r" + data


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("n" * 256, "has 256 bytes"),
        ("ä" * 128, "has 256 bytes"),
        ("a\0b", "has a NUL"),
        ("a\udcff", "is not UTF-8"),
    ],
    ids=["empty", "256 letters", "128 letters of two bytes", "NUL", "surrogate"],
)
def test_a_name_that_cannot_travel_is_refused_before_anything_is_sent(name: str, why: str) -> None:
    for call in (
        lambda: codec.check_result_name(name),
        lambda: codec.result_frames(7, name, b"", DataFormat.BYTES),
        lambda: codec.file_ref_frame(7, name, "/a"),
    ):
        with pytest.raises(ResultRefused, match=why):
            call()


@pytest.mark.parametrize("name", ["r", "n" * 255, "ä" * 127 + "n", "a/b \n"])
def test_a_name_of_up_to_255_bytes_travels_as_it_is(name: str) -> None:
    assert codec.check_result_name(name) == name.encode()


PROGRESS = [
    (0.5, "hashing", '{"progress":0.5,"message":"hashing"}'),
    (0, "", '{"progress":0.0,"message":""}'),
    (1.5, "ä\n", '{"progress":1.0,"message":"ä\\n"}'),
    (-1, "a\udcff", '{"progress":0.0,"message":"a\\\\udcff"}'),
    (math.nan, "", '{"progress":0.0,"message":""}'),
    (math.inf, "", '{"progress":1.0,"message":""}'),
    (-math.inf, "", '{"progress":0.0,"message":""}'),
    (10**400, "", '{"progress":1.0,"message":""}'),
]


@pytest.mark.parametrize(("progress", "message", "data"), PROGRESS, ids=[str(case[0])[:8] for case in PROGRESS])
def test_progress_is_this_json(progress: float, message: str, data: str) -> None:
    frame = codec.progress_frame(7, progress, message)
    header = frame.header
    assert payload_of(frame).decode() == data
    assert (header.task_id, header.kind, header.format, header.flags, header.name_len) == (7, 1, 1, 0, 0)


@pytest.mark.parametrize("character", ["a", "ä", "🦠", "\n", "\x00", "\ud800"], ids=ascii)
@pytest.mark.parametrize("over", [-100, 0, 100, 300_000])
def test_a_long_message_of_progress_is_cut_between_characters(character: str, over: int) -> None:
    message = character * (LIMIT // len(encodable(character).encode()) + over)
    frame = codec.progress_frame(7, 0.25, message)
    assert frame.size <= LIMIT
    update = codec.decode_progress(payload_of(frame))
    whole = encodable(message)
    if update.message != whole:
        assert frame.size > LIMIT - 16  # no more is lost than has to be
        assert update.message.endswith("…")
        assert whole.startswith(update.message[:-1])


@given(st.floats(0, 1), st.text())
def test_progress_comes_back(progress: float, message: str) -> None:
    data = payload_of(codec.progress_frame(7, progress, message))
    assert codec.decode_progress(data) == ProgressUpdate(progress, message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"0.5",
        b"{}",
        b'{"progress": null}',
        b'{"progress": true, "message": ""}',
        b'{"progress": "0.5", "message": ""}',
        b'{"progress": NaN, "message": ""}',
        b'{"progress": 0.5, "message": 1}',
        b'{"progress": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        '{"progress": 0.5}'.encode("utf-16"),
    ],
    ids=lambda data: ascii(data[:24]),
)
def test_progress_that_is_malformed_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="progress"):
        codec.decode_progress(data)


@pytest.mark.parametrize(
    ("data", "update"),
    [
        (b' {"progress": 2, "message": "m", "more": 1}', ProgressUpdate(1.0, "m")),
        (b'{"progress": -1e999}', ProgressUpdate(0.0, "")),
        (b'{"progress": ' + b"1" * 4000 + b"}", ProgressUpdate(1.0, "")),
        (b'{"progress": 0, "message": "\\ud800"}', ProgressUpdate(0.0, "\\ud800")),
    ],
    ids=["unknown key", "minus infinity", "4000 digits", "surrogate"],
)
def test_progress_of_a_careless_peer_is_brought_into_shape(data: bytes, update: ProgressUpdate) -> None:
    assert codec.decode_progress(memoryview(data)) == update


def test_a_file_goes_as_its_name_and_its_path_whatever_bytes_that_has() -> None:
    path = os.fsdecode(b"/tmp/\xff\xc3\xa4")
    frame = codec.file_ref_frame(7, "dump", path)
    assert payload_of(frame) == b"dump/tmp/\xff\xc3\xa4"
    piece = Reassembler(7).feed(frame.header, payload_of(frame))
    assert (piece.kind, piece.name, piece.is_final) == (ResponseKind.FILE_REF, "dump", False)
    assert codec.decode_file_ref(piece.data) == path


@pytest.mark.parametrize("path", ["", "/a\0b", "/\ud800", "/" + "a" * CHUNK_SIZE], ids=["empty", "NUL", "text", "long"])
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(ResultRefused, match="result 'dump' is not one of a file"):
        codec.file_ref_frame(7, "dump", path)


@pytest.mark.parametrize("data", [b"", b"/a\0b"], ids=["empty", "NUL"])
def test_a_peer_s_path_that_cannot_be_one_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="as the path of a file"):
        codec.decode_file_ref(data)


def test_an_error_is_its_message_and_final() -> None:
    frame = codec.error_frame(7, "nö \udcff")
    assert (frame.header.kind, frame.header.flags, frame.header.format, frame.header.name_len) == (4, IS_FINAL, 0, 0)
    assert payload_of(frame) == "nö \\udcff".encode()


@pytest.mark.parametrize("character", ["a", "ä", "样", "🦠", "\ud800"], ids=ascii)
@pytest.mark.parametrize("over", [-1, 0, 1, 5, 300_000])
def test_a_long_error_keeps_both_ends_and_is_marked_at_the_cut(character: str, over: int) -> None:
    message = "head" + character * (LIMIT // len(encodable(character).encode()) + over) + "tail"
    frame = codec.error_frame(7, message)
    text = payload_of(frame).decode()
    assert frame.size <= LIMIT
    assert text.startswith("head")
    assert text.endswith("tail")
    if text != encodable(message):
        assert frame.size > LIMIT - 16
        assert "[... left out, because the message is too long ...]" in text
        assert set(text.replace("\n[... left out, because the message is too long ...]\n", "")) <= set(
            "headtail"
        ) | set(encodable(character))


@given(any_text)
def test_any_error_s_message_can_be_sent_and_read(message: str) -> None:
    assert codec.decode_error(payload_of(codec.error_frame(7, message))) == encodable(message)


@given(st.binary())
def test_any_bytes_are_an_error_s_message(data: bytes) -> None:
    assert codec.decode_error(memoryview(data)) == data.decode("utf-8", "replace")


def test_the_end_of_a_task_that_went_well_is_an_empty_result_that_is_final() -> None:
    frame = codec.final_frame(7)
    assert (frame.size, bytes(frame.header).hex()) == (0, "070000000000010000000000000000000000000000000000")


EVENTS = [
    (EventMessage(EventKind.PLUGIN_STARTED, 0, 0, b"{}"), "0a00000000000000000000000000000000000000"),
    (EventMessage(EventKind.TASK_COMPLETED, -1, 42), "02000000ffffffff2a0000000000000000000000"),
    (EventMessage(EventKind.CONFIG_RELOADED, 5, -7), "1f00000005000000f9ffffff0000000000000000"),
]


@pytest.mark.parametrize(("event", "header"), EVENTS, ids=["started", "completed", "reloaded"])
def test_an_event_is_this_header_in_both_directions(event: EventMessage, header: str) -> None:
    encoded, payload = codec.encode_event(event)
    assert (bytes(encoded).hex(), payload) == (header, event.payload)
    assert codec.decode_event(EventHeader.from_buffer_copy(bytes.fromhex(header)), memoryview(payload)) == event


@given(st.builds(EventMessage, st.sampled_from(EventKind), i32, i32, st.binary()))
def test_every_event_comes_back(event: EventMessage) -> None:
    assert codec.decode_event(*codec.encode_event(event)) == event


@given(st.integers(0, 2**16 - 1) | st.integers(0, 40), i32, i32, st.binary())
def test_any_event_is_an_event_or_an_unknown_type(
    event_type: int, source: int, associated: int, payload: bytes
) -> None:
    header = EventHeader(event_type, source_plugin_id=source, associated_id=associated)
    if event_type in set(EventKind):
        assert codec.decode_event(header, payload) == EventMessage(EventKind(event_type), source, associated, payload)
    else:
        with pytest.raises(UnknownValue, match=f"event_type {event_type}") as caught:
            codec.decode_event(header, payload)
        assert (caught.value.field, caught.value.number) == ("event_type", event_type)


def test_the_payload_of_an_event_is_a_copy_that_outlives_the_sample() -> None:
    sample = bytearray(b"abc")
    event = codec.decode_event(EventHeader(10), memoryview(sample))
    sample[:] = b"xyz"
    assert event.payload == b"abc"


@pytest.mark.parametrize(
    ("source", "name", "data"),
    [("file-info", "report", b"file-info\0report"), ("a", "ä", b"a\0\xc3\xa4"), ("", "", b"\0")],
    ids=["usual", "not ASCII", "empty"],
)
def test_result_available_is_these_bytes_in_both_directions(source: str, name: str, data: bytes) -> None:
    assert codec.encode_result_available(source, name) == data
    assert codec.decode_result_available(memoryview(data)) == (source, name)


def test_result_available_may_say_nothing() -> None:
    assert codec.decode_result_available(b"") is None


@pytest.mark.parametrize(("source", "name"), [("a\0", "b"), ("a", "b\0"), ("a", "\udcff")])
def test_result_available_with_what_cannot_travel_is_refused(source: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogates"):
        codec.encode_result_available(source, name)


@given(st.binary(max_size=30))
def test_any_bytes_are_a_result_available_or_a_protocol_error(data: bytes) -> None:
    try:
        read = codec.decode_result_available(data)
    except ProtocolError:
        return
    assert (b"" if read is None else codec.encode_result_available(*read)) == data


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists), st.binary())
def test_any_json_and_any_bytes_are_progress_or_a_protocol_error(value: Any, data: bytes) -> None:
    as_progress = json.dumps({"progress": value, "message": value}).encode()
    for attempt in (data, as_progress, json.dumps({"progress": value}).encode()):
        try:
            update = codec.decode_progress(attempt)
        except ProtocolError:
            continue
        assert 0.0 <= update.progress <= 1.0
