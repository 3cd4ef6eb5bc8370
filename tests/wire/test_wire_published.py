"""Results on a plugin's result channel: cut, put together, and passed over where something is missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime.errors import ProtocolError, ResultRefused
from plugin_runtime.wire.headers import ResultHeader
from plugin_runtime.wire.messages import DataFormat, ResultPayloadKind
from plugin_runtime.wire.names import CHUNK_SIZE
from plugin_runtime.wire.published import (
    MAX_SEQUENCE,
    PublishedFrame,
    PublishedReassembler,
    missed_between,
    published_frames,
)

BIG = bytes(2 * CHUNK_SIZE)


def frames(data: bytes = BIG, sequence: int = 1) -> list[PublishedFrame]:
    return list(published_frames(3, "näme", data, DataFormat.BYTES, sequence))


def fed(reassembler: PublishedReassembler, *given: PublishedFrame) -> list[bool]:
    """Feed frames; of each whether it was taken."""
    return [reassembler.feed(frame.header, b"".join(frame.parts)) is not None for frame in given]


@given(
    st.sampled_from([0, 1, 100, CHUNK_SIZE - 6, CHUNK_SIZE - 5, CHUNK_SIZE, 3 * CHUNK_SIZE]),
    st.integers(1, MAX_SEQUENCE),
)
def test_what_is_cut_is_put_together_again(size: int, sequence: int) -> None:
    data = bytes(index % 251 for index in range(min(size, 300))).ljust(size, b"x")
    reassembler = PublishedReassembler()
    pieces = [reassembler.feed(frame.header, b"".join(frame.parts)) for frame in frames(data, sequence)]
    assert b"".join(bytes(piece.data) for piece in pieces if piece is not None) == data
    first, last = pieces[0], pieces[-1]
    assert first is not None
    assert last is not None
    assert (first.name, first.task_id, first.sequence, first.total_size) == ("näme", 3, sequence, size)
    assert first.is_first
    assert last.is_last
    assert not reassembler.lost_any
    assert not reassembler.is_open


def test_a_result_of_json_is_structured() -> None:
    (frame,) = published_frames(1, "x", b"{}", DataFormat.JSON, 1)
    piece = PublishedReassembler().feed(frame.header, b"".join(frame.parts))
    assert piece is not None
    assert (piece.kind, piece.format) == (ResultPayloadKind.STRUCTURED, DataFormat.JSON)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_of_a_result_that_lacks_a_frame_nothing_more_is_taken_and_the_next_one_is_whole(missing: int) -> None:
    reassembler = PublishedReassembler()
    broken = [frame for index, frame in enumerate(frames()) if index != missing]
    whole = frames(b"next", 2)
    taken = fed(reassembler, *broken, *whole)
    assert taken == [*([True] * missing), *([False] * (2 - missing)), True]
    assert reassembler.lost_any


def test_frames_of_two_results_are_not_mixed() -> None:
    reassembler = PublishedReassembler()
    assert fed(reassembler, frames()[0], frames(sequence=2)[1]) == [True, False]
    assert reassembler.lost_any


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (ResultHeader(1, 9), b""),
        (ResultHeader(1, 0, 9), b""),
        (ResultHeader(total_size=5, name_len=1), b"ab"),
        (ResultHeader(flags=2, total_size=2, name_len=1), b"ab"),
        (ResultHeader(name_len=3), b"ab"),
        (ResultHeader(name_len=1), b"\xff"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(header: ResultHeader, payload: bytes) -> None:
    reassembler = PublishedReassembler()
    with pytest.raises(ProtocolError):
        reassembler.feed(header, payload)
    assert reassembler.lost_any
    assert fed(reassembler, *frames(b"x")) == [True]


def test_a_name_that_cannot_travel_is_refused() -> None:
    with pytest.raises(ResultRefused):
        list(published_frames(1, "", b"", DataFormat.BYTES, 1))


@pytest.mark.parametrize(
    ("before", "sequence", "missed"), [(0, 1, 0), (0, 4, 3), (5, 6, 0), (MAX_SEQUENCE, 1, 0), (7, 0, 0)]
)
def test_numbers_tell_how_many_were_missed(before: int, sequence: int, missed: int) -> None:
    assert missed_between(before, sequence) == missed
