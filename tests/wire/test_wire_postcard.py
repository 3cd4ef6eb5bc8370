import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_vectors import bytes_of, config_of, text_of, vectors

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import TaskRequest
from plugin_runtime.wire.postcard import decode_task_request, encode_task_request

GOOD = [
    pytest.param(
        TaskRequest(text_of(case["sample_path"]), config_of(case["config"])), bytes_of(case["bytes"]), id=case["id"]
    )
    for case in vectors()["task_requests"]
]
BAD = [pytest.param(bytes_of(case["bytes"]), id=case["why"]) for case in vectors()["bad_task_requests"]]
MORE_BAD = [
    pytest.param(bytes.fromhex(data), id=why)
    for why, data in [
        ("length of more than 64 bits", "ffffffffffffffffff02"),
        ("varint of eleven bytes that ends", "8080808080808080808000"),
        ("length cut in its middle", "80"),
        ("no config", "0161"),
        ("count cut in its middle", "016180"),
        ("key is not UTF-8", "01610101ff0176"),
        ("value is not UTF-8", "016101016b01ff"),
        ("a surrogate in UTF-8", "03eda08000"),
        ("one pair fewer than the count", "016102016b0176"),
    ]
]

requests = st.builds(TaskRequest, st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=200).map(tuple))


def test_the_smallest_useful_request_is_these_twelve_bytes() -> None:
    assert encode_task_request(TaskRequest("/tmp/a", (("k", "v"),))).hex() == "062f746d702f6101016b0176"


@pytest.mark.parametrize(("request_", "data"), GOOD)
def test_a_request_is_these_bytes_in_both_directions(request_: TaskRequest, data: bytes) -> None:
    assert encode_task_request(request_) == data
    for buffer in (data, bytearray(data), memoryview(data)):
        assert decode_task_request(buffer) == request_


@pytest.mark.parametrize(("request_", "data"), GOOD)
def test_bytes_after_a_request_are_ignored(request_: TaskRequest, data: bytes) -> None:
    assert decode_task_request(data + b"\xff\x00rest") == request_


@pytest.mark.parametrize("data", [pytest.param(case.values[1], id=case.id) for case in GOOD])
def test_a_request_that_is_cut_short_anywhere_is_a_protocol_error(data: bytes) -> None:
    ends = range(len(data)) if len(data) < 4096 else [*range(200), *range(len(data) - 200, len(data))]
    for end in ends:
        with pytest.raises(ProtocolError):
            decode_task_request(data[:end])


@pytest.mark.parametrize("data", [*BAD, *MORE_BAD])
def test_a_malformed_request_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="task request"):
        decode_task_request(data)


def test_a_varint_with_needless_zeros_is_read_as_the_reference_reads_it() -> None:
    assert decode_task_request(bytes.fromhex("81006180808000")) == TaskRequest("a")


def test_of_two_pairs_with_one_key_both_are_kept_and_the_last_counts() -> None:
    request = decode_task_request(bytes.fromhex("042f647570020161013101610132"))
    assert request.config == (("a", "1"), ("a", "2"))
    assert request.config_dict() == {"a": "2"}


def test_a_claimed_length_or_count_costs_no_memory() -> None:
    claims = [bytes.fromhex("0161ffffffffffffffff7f") + bytes(1000), bytes.fromhex("ffffffffffffffff7f") + bytes(1000)]
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises(ProtocolError, match="claim"):
                decode_task_request(claim)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (TaskRequest(os.fsdecode(b"/tmp/\xff")), r"sample's path '/tmp/\\udcff'"),
        (TaskRequest("/a", (("\ud800", "v"),)), r"configuration key '\\ud800'"),
        (TaskRequest("/a", (("k", "\udfff"),)), r"configuration value '\\udfff'"),
    ],
    ids=["path", "key", "value"],
)
def test_a_text_without_utf_8_is_refused_by_its_name(request_: TaskRequest, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        encode_task_request(request_)


@given(requests, st.binary(max_size=20))
def test_every_request_comes_back_whatever_follows_it(request: TaskRequest, rest: bytes) -> None:
    assert decode_task_request(encode_task_request(request) + rest) == request


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_protocol_error(data: bytes) -> None:
    try:
        request = decode_task_request(data)
    except ProtocolError:
        return
    assert decode_task_request(encode_task_request(request)) == request


@given(requests, st.data())
def test_a_damaged_request_is_a_request_or_a_protocol_error(request: TaskRequest, data: st.DataObject) -> None:
    damaged = bytearray(encode_task_request(request))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    try:
        read = decode_task_request(damaged)
    except ProtocolError:
        return
    assert isinstance(read, TaskRequest)
