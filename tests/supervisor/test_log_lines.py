"""What plugins print, cut into lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.supervisor.log_lines import KEPT_LINES, MAX_LINE_BYTES, LineSplitter, escaped, printable


def blocks_of(*parts: bytes) -> bytes:
    splitter = LineSplitter()
    return b"".join([*map(splitter.feed, parts), splitter.finish()])


@pytest.mark.parametrize(
    ("parts", "blocks"),
    [
        ([b"one\ntwo\n"], [b"one\ntwo\n"]),
        ([b"no end"], [b""]),
        ([b"in", b" pie", b"ces\nx", b"y\n\nz"], [b"", b"", b"in pieces\n", b"xy\n\n"]),
        ([b"\n\n"], [b"\n\n"]),
        ([b""], [b""]),
        ([b"10 %\r20 %", b"\r30 %\r\n"], [b"", b"10 %\r20 %\r30 %\r\n"]),
    ],
)
def test_lines_come_in_blocks_as_they_are_completed(parts: list[bytes], blocks: list[bytes]) -> None:
    splitter = LineSplitter()
    assert [splitter.feed(part) for part in parts] == blocks
    assert b"".join(blocks) + splitter.finish() == b"".join(parts)
    assert splitter.finish() == b""


@given(st.lists(st.binary(max_size=40)))
def test_every_byte_comes_back_however_a_stream_is_cut(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    blocks = [splitter.feed(part) for part in parts]
    rest = splitter.finish()
    assert b"".join(blocks) + rest == b"".join(parts)
    assert all(block.endswith(b"\n") for block in blocks if block)
    assert b"\n" not in rest


def test_a_line_of_10_mb_is_cut_and_says_how_much_is_missing() -> None:
    splitter = LineSplitter()
    for _ in range(160):
        assert splitter.feed(b"x" * 65536) == b""
        assert len(splitter._head) <= MAX_LINE_BYTES
    missing = 160 * 65536 + 3 - MAX_LINE_BYTES
    assert splitter.feed(b"end\nnext") == b"x" * MAX_LINE_BYTES + b" [... %d bytes more]\n" % missing
    assert splitter.finish() == b"next"


@given(st.lists(st.integers(0, 3 * MAX_LINE_BYTES), max_size=5), st.integers(1, 2 * MAX_LINE_BYTES))
def test_no_line_is_longer_than_it_may_be(lengths: list[int], cut: int) -> None:
    stream = b"".join(b"x" * length + b"\n" for length in lengths)
    parts = [stream[start : start + cut] for start in range(0, len(stream), cut)]
    for length, line in zip(lengths, blocks_of(*parts).split(b"\n")[:-1], strict=True):
        more = max(0, length - MAX_LINE_BYTES)
        assert line == b"x" * (length - more) + (b" [... %d bytes more]" % more if more else b"")


def test_a_line_that_is_too_long_and_has_no_end_says_so_too() -> None:
    assert blocks_of(b"x" * (MAX_LINE_BYTES + 1)) == b"x" * MAX_LINE_BYTES + b" [... 1 bytes more]"


@given(st.lists(st.binary(max_size=60), max_size=60))
def test_the_last_lines_are_kept_fit_to_be_shown(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    for part in parts:
        splitter.feed(part)
    splitter.finish()
    rows = b"".join(parts).split(b"\n")
    lines = rows if rows[-1] else rows[:-1]
    assert splitter.last_lines() == tuple(map(printable, lines[-KEPT_LINES:]))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"windows\r", "windows"),
        (b"10 %\r20 %\r30 %", r"10 %\r20 %\r30 %"),
        ("a\x0bb\x0cc\x1cd\x85e\u2028f".encode(), r"a\x0bb\x0cc\x1cd\x85e\u2028f"),
        (b"\xff\xfe\x00\x01", r"\xff\xfe\x00\x01"),
        (b"\x1b[31mred\x1b[0m\x07", r"\x1b[31mred\x1b[0m\x07"),
        ("abc\u202edef".encode(), r"abc\u202edef"),
        ("a\tb ü 日本".encode(), "a\tb ü 日本"),
    ],
)
def test_what_does_something_to_a_terminal_is_escaped(line: bytes, text: str) -> None:
    assert printable(line) == text


@given(st.binary())
def test_nothing_but_tabs_is_left_that_is_not_printable(data: bytes) -> None:
    assert printable(data).replace("\t", "").isprintable()


@given(st.text())
def test_escaped_text_is_one_printable_line_and_what_is_one_stays(text: str) -> None:
    line = escaped(text)
    assert line.replace("\t", "").isprintable()
    if text.isprintable():
        assert line == text
