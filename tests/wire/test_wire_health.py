from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_vectors import bytes_of, vectors

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.codec import Frame, error_frame, final_frame, progress_frame, result_frames
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, IS_FINAL, TaskResponseHeader
from plugin_runtime.wire.health import MAX_REASON, decode_health, health_frame
from plugin_runtime.wire.messages import DataFormat, HealthAnswer, HealthLevel, ResponseKind

CASES = vectors()["health_answers"]
HEADER = "000000000001010600000000000000000000000000000000"
NAME = b"health"


def payload_of(frame: Frame) -> bytes:
    return b"".join(bytes(part) for part in frame.parts)


def header(kind: int = 0, format_: int = 1, flags: int = IS_FINAL, name_len: int = 6, index: int = 0) -> Any:
    return TaskResponseHeader(0, kind, format_, flags, name_len, index)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_an_answer_is_these_bytes_in_both_directions(case: dict[str, Any]) -> None:
    answer = HealthAnswer(case["level"], case["reason"])
    frame = health_frame(answer)
    assert (bytes(frame.header).hex(), payload_of(frame)) == (HEADER, bytes_of(case["bytes"]))
    assert decode_health(frame.header, memoryview(bytes_of(case["bytes"]))) == answer


@given(
    st.sampled_from(get_args(HealthLevel)),
    st.text(),
)
def test_every_answer_comes_back_but_for_the_end_of_a_long_reason(level: HealthLevel, reason: str) -> None:
    frame = health_frame(HealthAnswer(level, reason))
    answer = decode_health(frame.header, payload_of(frame))
    assert answer.level == level
    assert answer.reason == reason if len(reason) <= MAX_REASON else len(answer.reason) == MAX_REASON


def test_a_long_reason_loses_its_end_on_both_sides() -> None:
    cut = HealthAnswer("degraded", "x" * 499 + "\u2026")
    frame = health_frame(HealthAnswer("degraded", "x" * 501))
    assert decode_health(frame.header, payload_of(frame)) == cut
    by_another = b'health{"level":"degraded","reason":"' + b"x" * 100_000 + b'"}'
    assert decode_health(header(), by_another) == cut


def test_a_lone_surrogate_in_a_reason_is_spelled_out() -> None:
    frame = health_frame(HealthAnswer("unhealthy", "no \udce4"))
    assert decode_health(frame.header, payload_of(frame)) == HealthAnswer("unhealthy", r"no \udce4")


def test_what_is_unknown_in_an_answer_is_ignored_and_no_reason_is_an_empty_one() -> None:
    assert decode_health(header(), b'health{"level": "healthy", "colour": "green"}') == HealthAnswer("healthy")


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        pytest.param(Frame(header(), (NAME, b"{}")), "level` of healthy, degraded, unhealthy", id="no level"),
        pytest.param(Frame(header(), (NAME, b'{"level":"ok"}')), "without a `level`", id="another level"),
        pytest.param(Frame(header(), (NAME, b'{"level":["healthy"]}')), "without a `level`", id="a list as level"),
        pytest.param(Frame(header(), (NAME, b'{"level":"healthy","reason":1}')), "not a string", id="reason"),
        pytest.param(Frame(header(), (NAME, b"[]")), "no object", id="a list"),
        pytest.param(Frame(header(), (NAME, b"\xff")), "not JSON in UTF-8", id="no text"),
        pytest.param(Frame(header(), (b"health",)), "not JSON", id="no data"),
        pytest.param(Frame(header(), (b"he",)), "whose name has 6 bytes", id="cut off"),
        pytest.param(Frame(header(format_=0), (NAME, b"{}")), "something else", id="bytes"),
        pytest.param(Frame(header(), (b"wealth", b"{}")), "something else", id="another name"),
        pytest.param(Frame(header(flags=0), (NAME, b"{}")), "something else", id="not final"),
        pytest.param(Frame(header(flags=HAS_MORE_CHUNKS), (NAME, b"{}")), "cut the result", id="in chunks"),
        pytest.param(Frame(header(index=1), (NAME, b"{}")), "from nowhere", id="a later chunk"),
        pytest.param(Frame(header(kind=ResponseKind.READY), (NAME, b"{}")), "something else", id="ready"),
        pytest.param(Frame(header(kind=9), (NAME, b"{}")), "kind 9", id="unknown kind"),
        pytest.param(error_frame(0, "no such request"), "after its health: no such request", id="an error"),
        pytest.param(final_frame(0), "something else", id="the end of a task"),
        pytest.param(progress_frame(0, 0.5, "well"), "something else", id="progress"),
        pytest.param(next(result_frames(7, "health", b"{}", DataFormat.JSON)), "id of task 7", id="of a task"),
    ],
)
def test_an_answer_that_is_none_says_why(frame: Frame, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode_health(frame.header, payload_of(frame))


@given(
    st.builds(header, st.integers(0, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 9), st.integers(0, 2)),
    st.binary(max_size=40).map(lambda data: NAME + data) | st.binary(max_size=20),
)
def test_any_response_is_an_answer_or_a_protocol_error(header: TaskResponseHeader, payload: bytes) -> None:
    try:
        answer = decode_health(header, payload)
    except ProtocolError:
        return
    assert answer.level in get_args(HealthLevel)
