"""What plugins print, cut into lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.supervisor.log_lines import KEPT_LINES, MAX_LINE_BYTES, LineSplitter, escaped, printable


def lines_of(*parts: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for part in parts for line in splitter.feed(part)] + splitter.finish()


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"no end"], ["no end"]),
        ([b"in", b" pie", b"ces\nx"], ["in pieces", "x"]),
        ([b"\n\n"], ["", ""]),
        ([], []),
        ([b"windows\r\n"], ["windows"]),
        ([b"10 %\r20 %\r30 %\n"], [r"10 %\r20 %\r30 %"]),
        (["a\x0bb\x0cc\x1cd\x85e\u2028f\n".encode()], [r"a\x0bb\x0cc\x1cd\x85e\u2028f"]),
        ([b"\xff\xfe\x00\x01\n"], [r"\xff\xfe\x00\x01"]),
        ([b"\x1b[31mred\x1b[0m\x07\n"], [r"\x1b[31mred\x1b[0m\x07"]),
        (["abc\u202edef\n".encode()], [r"abc\u202edef"]),
        (["a\tb ü 日本\n".encode()], ["a\tb ü 日本"]),
        (["ü".encode()[:1], "ü".encode()[1:] + b"\n"], ["ü"]),
    ],
)
def test_lines_end_at_newlines_only_and_are_safe_to_show(parts: list[bytes], lines: list[str]) -> None:
    assert lines_of(*parts) == lines


def test_a_line_of_10_mb_is_cut_and_says_how_much_is_missing() -> None:
    splitter = LineSplitter()
    for _ in range(160):
        assert splitter.feed(b"x" * 65536) == []
        assert len(splitter._head) <= MAX_LINE_BYTES
    (line,) = splitter.feed(b"end\nnext")
    assert line == "x" * MAX_LINE_BYTES + f" [... {160 * 65536 + 3 - MAX_LINE_BYTES} bytes more]"
    assert splitter.finish() == ["next"]
    assert splitter.finish() == []


def test_a_line_of_the_longest_length_is_not_cut() -> None:
    assert lines_of(b"x" * MAX_LINE_BYTES + b"\n") == ["x" * MAX_LINE_BYTES]


def test_the_last_lines_are_kept() -> None:
    splitter = LineSplitter()
    splitter.feed(b"".join(b"%d\n" % number for number in range(100)))
    assert list(splitter.last) == [str(number) for number in range(100 - KEPT_LINES, 100)]


@given(st.lists(st.binary(max_size=40)))
def test_it_does_not_matter_how_a_stream_is_cut(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert lines_of(*parts) == lines_of(whole)
    rows = whole.split(b"\n")
    assert lines_of(whole) == [printable(row) for row in rows[: -1 if not rows[-1] else None]]


@given(st.binary())
def test_nothing_but_tabs_is_left_that_is_not_printable(data: bytes) -> None:
    assert printable(data).replace("\t", "").isprintable()


@given(st.text())
def test_escaped_text_is_one_printable_line_and_what_is_one_stays(text: str) -> None:
    line = escaped(text)
    assert line.replace("\t", "").isprintable()
    if text.isprintable():
        assert line == text
