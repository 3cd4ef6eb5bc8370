from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_vectors import block, text_of, vectors

from plugin_runtime.errors import ProtocolError, UnknownValue
from plugin_runtime.wire.chunks import Reassembler, split
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, IS_FINAL, TaskResponseHeader
from plugin_runtime.wire.messages import DataFormat, Piece, ResponseKind

MORE, FINAL = HAS_MORE_CHUNKS, IS_FINAL
RESULT, PROGRESS, READY, FILE_REF, ERROR = ResponseKind
MIB = 1 << 20

CASES = [pytest.param(case, id=f"{case['name']}-{case['data_len']}"[-20:]) for case in vectors()["results_as_frames"]]

Sent = tuple[TaskResponseHeader, bytes]


def frame(payload: bytes = b"", /, task_id: int = 7, **fields: Any) -> Sent:
    return TaskResponseHeader(task_id=task_id, **fields), payload


def feed(reassembler: Reassembler, *frames: Sent) -> list[Piece]:
    return [reassembler.feed(header, payload) for header, payload in frames]


def chunk(index: int, payload: bytes, flags: int = 0, **fields: Any) -> Sent:
    return frame(payload, chunk_index=index, flags=flags, **fields)


FIRST = frame(b"nabc", flags=MORE, name_len=1, total_size=10)  # three of nine bytes of the result "n"
END = frame(flags=FINAL)


@pytest.mark.parametrize("case", CASES)
def test_the_table_s_frames_are_the_table_s_result(case: dict[str, Any]) -> None:
    name, data = text_of(case["name"]), block(case["data_len"])
    payload = memoryview(name.encode() + bytes(data))
    reassembler = Reassembler(7)
    came = bytearray()
    at = 0
    for index, row in enumerate(case["frames"]):
        length = row["payload_len"]
        header = TaskResponseHeader(7, RESULT, DataFormat.JSON, row["flags"], row["name_len"], index, (), 0)
        header.total_size = row["total_size"]
        piece = reassembler.feed(header, payload[at : at + length])
        last = index == len(case["frames"]) - 1
        assert (piece.name, piece.total_size, piece.offset) == (name, len(data), len(came))
        assert (piece.format, piece.kind, piece.task_id) == (DataFormat.JSON, RESULT, 7)
        assert (piece.is_first, piece.is_last, piece.is_final) == (index == 0, last, False)
        came += piece.data
        at += length
        assert reassembler.open_result == (None if last else (name, len(came), len(data)))
    assert came == data
    assert feed(reassembler, END)[0].is_final


@pytest.mark.parametrize(
    ("total", "chunks"),
    [
        (0, [(0, 0)]),
        (1, [(0, 1)]),
        (MIB - 1, [(0, MIB - 1)]),
        (MIB, [(0, MIB)]),
        (MIB + 1, [(0, MIB), (MIB, MIB + 1)]),
        (2 * MIB, [(0, MIB), (MIB, 2 * MIB)]),
    ],
)
def test_a_payload_is_cut_after_every_mebibyte(total: int, chunks: list[tuple[int, int]]) -> None:
    assert list(split(total)) == chunks


REFUSED = {
    "another task's response": ([], frame(task_id=8), "id of task 8"),
    "anything after the final frame": ([END], frame(b"r", name_len=1), "after its final one"),
    "a second final frame": ([END], END, "after its final one"),
    "anything after an error": ([frame(b"no", kind=ERROR)], END, "after its final one"),
    "final and more to come": ([], frame(b"nabc", flags=MORE | FINAL, name_len=1, total_size=10), "final and has more"),
    "a chunk from nowhere": ([], chunk(1, b"abc"), "from nowhere"),
    "a chunk of an error from nowhere": ([], chunk(1, b"abc", kind=ERROR), "from nowhere"),
    "a chunk after the last": ([FIRST, chunk(1, b"defghi")], chunk(2, b"j"), "from nowhere"),
    "a chunk left out": ([FIRST], chunk(2, b"def", MORE), "chunk 1 of the result 'n' was due"),
    "a chunk twice": ([FIRST, chunk(1, b"d", MORE)], chunk(1, b"d", MORE), "chunk 2 of the result 'n' was due"),
    "a chunk of another kind": ([FIRST], chunk(1, b"defghi", kind=FILE_REF), "chunk 1 of the result 'n' was due"),
    "another result in between": ([FIRST], frame(b"mabc", name_len=1), "began another response"),
    "progress in between": ([FIRST], frame(b"{}", kind=PROGRESS), "began another response"),
    "the end in between": ([FIRST], END, "ended before its result 'n' was whole: 3 of 9"),
    "ready that is final in between": ([FIRST], frame(kind=READY, flags=FINAL), "ended before"),
    "an error within an error": (
        [frame(b"abc", kind=ERROR, flags=MORE, total_size=9)],
        frame(b"abc", kind=ERROR),
        "before its error was whole",
    ),
    "a name longer than the frame": ([], frame(b"ab", name_len=3), "name has 3 bytes in a frame of 2"),
    "a name that is not UTF-8": ([], frame(b"\xc3(", name_len=2), "not UTF-8"),
    "a name that is cut in a character": ([], frame("ä".encode(), name_len=1), "not UTF-8"),
    "a name in a later chunk": ([FIRST], chunk(1, b"defghi", name_len=1), "again in chunk 1"),
    "a whole frame with too big a total": ([], frame(b"nabc", name_len=1, total_size=5), "claims it has 5"),
    "a whole frame with too small a total": ([], frame(b"nabc", name_len=1, total_size=3), "claims it has 3"),
    "a cut payload without a total": ([], frame(b"nabc", name_len=1, flags=MORE), "of 0 bytes"),
    "a cut payload that is all there": ([], frame(b"nabc", name_len=1, flags=MORE, total_size=4), "of 4 bytes"),
    "a cut payload smaller than its chunk": ([], frame(b"nabc", name_len=1, flags=MORE, total_size=3), "of 3 bytes"),
    "an end that comes too early": ([FIRST], chunk(1, b"defgh"), "8 bytes .* it has 9"),
    "an end that comes too late": ([FIRST], chunk(1, b"defghij"), "10 bytes .* it has 9"),
    "all there and more to come": ([FIRST], chunk(1, b"defghi", MORE), "9 bytes .* it has 9"),
    "too much and more to come": ([FIRST], chunk(1, b"defghijk", MORE), "11 bytes .* it has 9"),
    "a total that changes": ([FIRST], chunk(1, b"defghi", total_size=9), "10 bytes before, 9 now"),
    "an end of unknown kind": ([], frame(kind=9, flags=FINAL), "ended with a response of kind 9"),
    "an end of unknown format": ([], frame(format=9, flags=FINAL), "ended with a response of format 9"),
}


@pytest.mark.parametrize(("before", "refused", "why"), REFUSED.values(), ids=REFUSED)
def test_a_frame_that_does_not_fit_is_refused_and_leaves_everything_as_it_was(
    before: list[Sent], refused: Sent, why: str
) -> None:
    reassembler = Reassembler(7)
    feed(reassembler, *before)
    state = reassembler.open_result, reassembler.finished
    for _ in range(2):
        with pytest.raises(ProtocolError, match=why) as caught:
            feed(reassembler, refused)
        assert not isinstance(caught.value, UnknownValue)
        assert (reassembler.open_result, reassembler.finished) == state


def test_a_refused_chunk_does_not_keep_the_right_one_from_coming() -> None:
    reassembler = Reassembler(7)
    feed(reassembler, FIRST)
    with pytest.raises(ProtocolError):
        feed(reassembler, chunk(2, b"def"))
    (piece,) = feed(reassembler, chunk(1, b"defghi"))
    assert (piece.offset, bytes(piece.data), piece.is_last) == (3, b"defghi", True)


@pytest.mark.parametrize(
    ("field", "number", "sent"),
    [
        ("kind", 5, frame(b"nabc", kind=5, name_len=1)),
        ("kind", 255, chunk(3, b"abc", kind=255)),
        ("format", 3, frame(b"nabc", format=3, name_len=1, flags=MORE, total_size=10)),
        ("format", 3, chunk(1, b"abc", format=3)),
    ],
    ids=["kind", "kind of a later chunk", "format", "format of a later chunk"],
)
def test_an_unknown_value_can_be_skipped_and_says_its_number(field: str, number: int, sent: Sent) -> None:
    reassembler = Reassembler(7)
    with pytest.raises(UnknownValue, match=f"{field} {number}") as caught:
        feed(reassembler, sent)
    assert (caught.value.field, caught.value.number) == (field, number)
    assert feed(reassembler, END)[0].is_final


def test_a_whole_frame_may_say_its_size() -> None:
    (piece,) = feed(Reassembler(7), frame(b"nabc", name_len=1, total_size=4))
    assert (piece.name, bytes(piece.data), piece.total_size, piece.is_last) == ("n", b"abc", 3, True)


def test_chunks_of_any_length_are_taken_as_long_as_they_add_up() -> None:
    reassembler = Reassembler(7)
    pieces = feed(reassembler, FIRST, chunk(1, b"", MORE), chunk(2, b"d", MORE, total_size=10), chunk(3, b"efghi"))
    assert [(piece.offset, bytes(piece.data)) for piece in pieces] == [(0, b"abc"), (3, b""), (3, b"d"), (4, b"efghi")]


@pytest.mark.parametrize("kind", [RESULT, FILE_REF, PROGRESS, ERROR])
def test_every_kind_of_data_may_come_in_chunks(kind: ResponseKind) -> None:
    reassembler = Reassembler(7)
    pieces = feed(
        reassembler, frame(b"abc", kind=kind, flags=MORE, total_size=5, format=1), chunk(1, b"de", kind=kind, format=1)
    )
    assert b"".join(bytes(piece.data) for piece in pieces) == b"abcde"
    assert [piece.kind for piece in pieces] == [kind, kind]
    assert [piece.is_final for piece in pieces] == [False, kind is ERROR]
    assert reassembler.finished is (kind is ERROR)


@pytest.mark.parametrize("flags", [0, FINAL], ids=["forgot IS_FINAL", "said IS_FINAL"])
def test_an_error_ends_the_task_whatever_it_says_of_name_and_format(flags: int) -> None:
    reassembler = Reassembler(7)
    (piece,) = feed(reassembler, frame(b"no", kind=ERROR, flags=flags, name_len=9, format=77))
    assert (piece.kind, piece.name, bytes(piece.data)) == (ERROR, "", b"no")
    assert piece.is_final
    assert reassembler.finished


@pytest.mark.parametrize("parts", [[b"cancelled"], [b"cancel", b"led"]], ids=["whole", "cut"])
def test_an_error_in_the_middle_of_a_result_ends_the_task_and_the_result_stays_unfinished(parts: list[bytes]) -> None:
    reassembler = Reassembler(7)
    feed(reassembler, FIRST)
    if len(parts) == 1:
        pieces = feed(reassembler, frame(parts[0], kind=ERROR, flags=FINAL))
    else:
        head = frame(parts[0], kind=ERROR, flags=MORE, total_size=9)
        pieces = feed(reassembler, head, chunk(1, parts[1], FINAL, kind=ERROR))
    assert b"".join(bytes(piece.data) for piece in pieces) == b"cancelled"
    assert pieces[-1].is_final
    assert reassembler.open_result == ("n", 3, 9)


def test_progress_that_is_not_whole_is_no_result() -> None:
    reassembler = Reassembler(7)
    feed(reassembler, frame(b"{", kind=PROGRESS, flags=MORE, total_size=9))
    assert reassembler.open_result is None


def test_a_final_frame_may_carry_a_result() -> None:
    (piece,) = feed(Reassembler(7), frame(b"nabc", name_len=1, flags=FINAL))
    assert (piece.name, bytes(piece.data), piece.is_final) == ("n", b"abc", True)


def test_the_last_chunk_of_a_result_may_be_final() -> None:
    reassembler = Reassembler(7)
    pieces = feed(reassembler, FIRST, chunk(1, b"defghi", FINAL))
    assert pieces[-1].is_final
    assert reassembler.finished


def test_ready_passes_whatever_is_open_and_changes_nothing() -> None:
    reassembler = Reassembler(7)
    pieces = feed(reassembler, FIRST, frame(b"x", kind=READY, task_id=0, format=9, name_len=5), chunk(1, b"defghi"))
    assert (pieces[1].kind, bytes(pieces[1].data), pieces[1].is_final) == (READY, b"x", False)
    assert pieces[2].is_last


def test_the_data_of_a_piece_is_a_view_and_no_copy() -> None:
    payload = bytearray(b"nabc")
    header, _ = FIRST
    piece = Reassembler(7).feed(header, memoryview(payload))
    payload[1:] = b"xyz"
    assert bytes(piece.data) == b"xyz"


@given(st.text(max_size=60), st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_a_result_cut_anywhere_comes_back_whole(name: str, data: bytes, cuts: list[int], as_views: bool) -> None:
    encoded = name.encode()
    payload = encoded + data
    # Only the last chunk may reach the end, and the first one holds the name.
    starts = sorted(len(encoded) + cut for cut in cuts if cut < len(data))
    bounds = [0, *starts, len(payload)]
    last = len(bounds) - 2
    reassembler = Reassembler(7)
    pieces = []
    for index in range(last + 1):
        part = payload[bounds[index] : bounds[index + 1]]
        total = len(payload) if index == 0 and last else 0
        flags = MORE if index < last else 0
        header, _ = chunk(index, part, flags, total_size=total, name_len=0 if index else len(encoded))
        pieces.append(reassembler.feed(header, memoryview(part) if as_views else part))
    assert b"".join(bytes(piece.data) for piece in pieces) == data
    assert {(piece.name, piece.total_size) for piece in pieces} == {(name, len(data))}
    assert [piece.is_last for piece in pieces] == [False] * last + [True]
    assert reassembler.open_result is None


def small_or_any(limit: int, *usual: int) -> st.SearchStrategy[int]:
    return st.sampled_from(usual) | st.integers(0, limit)


any_frames = st.lists(
    st.tuples(
        st.builds(
            TaskResponseHeader,
            task_id=st.just(7) | st.integers(-(2**31), 2**31 - 1),
            kind=small_or_any(255, 0, 0, 1, 2, 3, 4),
            format=small_or_any(255, 0, 1, 2),
            flags=small_or_any(255, 0, 1, 2),
            name_len=small_or_any(255, 0, 0, 1),
            chunk_index=small_or_any(2**32 - 1, 0, 1, 2),
            total_size=small_or_any(2**64 - 1, 0, 4, 8),
        ),
        st.binary(max_size=8),
    ),
    max_size=8,
)


@given(any_frames)
def test_any_frames_are_pieces_that_add_up_or_a_protocol_error(frames: list[Sent]) -> None:
    reassembler = Reassembler(7)
    received = 0
    for header, payload in frames:
        before = reassembler.finished, reassembler.open_result
        try:
            piece = reassembler.feed(header, payload)
        except ProtocolError:
            assert (reassembler.finished, reassembler.open_result) == before
            continue
        if piece.kind is READY and not piece.is_final:
            continue
        assert not before[0]
        assert piece.is_final is reassembler.finished
        received = len(piece.data) + (0 if piece.is_first else received)
        assert piece.offset + len(piece.data) == received
        assert received == piece.total_size if piece.is_last else received < piece.total_size
