"""The lines of the logs on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.store.log_format import LATEST, LogEntry, entries_from, to_block, unpacked, utc_time
from plugin_runtime.wire.log_marks import LogMark, fields_text, mark_start, marked

AT = 1_764_021_723_123_456
TIME = b"2025-11-24T22:02:03.123456Z"

lines = st.binary().map(lambda data: data.replace(b"\n", b""))
levels = st.sampled_from(["info", "warning", "error"])
marks = st.builds(
    LogMark,
    st.sampled_from(["output", "info", "warning"]),
    st.one_of(st.none(), st.integers(0, 2**31 - 1)),
    st.dictionaries(st.text(max_size=5), st.sampled_from(["", " | ", "} | x"]), max_size=2).map(fields_text),
)
printed = st.builds(
    lambda at, rows, rest, said: LogEntry(at, "p", "output", rest or b"".join(row + b"\n" for row in rows), said=said),
    st.integers(0, LATEST),
    st.lists(lines, min_size=1),
    lines,
    st.one_of(st.none(), marks),
)
said = st.builds(lambda at, level, line: LogEntry(at, "p", level, line + b"\n"), st.integers(0, LATEST), levels, lines)


def read(block: bytes) -> list[LogEntry]:
    assert block.endswith(b"\n")
    return list(entries_from("p", block[:-1].split(b"\n")))


@pytest.mark.parametrize(
    ("entry", "block"),
    [
        (LogEntry(AT, "p", "output", b"one\ntwo\n"), TIME + b" | one\n" + TIME + b" | two\n"),
        (LogEntry(AT, "p", "output", b"\n"), TIME + b" | \n"),
        (LogEntry(AT, "p", "output", b"no end"), TIME + b" \\ no end\n"),
        (LogEntry(AT, "p", "warning", b"killing it\n"), TIME + b" ! warning: killing it\n"),
        (LogEntry(AT, "p", "output", b"x\n", said=LogMark("warning", 5, "")), TIME + b" : warning 5 | x\n"),
        (LogEntry(AT, "p", "output", b"x", said=LogMark("output", None, "")), TIME + b" ; output - | x\n"),
        (LogEntry(AT, "p", "output", b"\n", said=LogMark("info", 1, '{"a": 1}')), TIME + b' : info 1 {"a": 1} | \n'),
        (LogEntry(0, "p", "output", b"x\n"), b"1970-01-01T00:00:00.000000Z | x\n"),
    ],
)
def test_an_entry_stands_on_disk_as_lines_with_time_and_sign(entry: LogEntry, block: bytes) -> None:
    assert to_block(entry) == block
    assert block.count(b"\n") == entry.line_count


@given(st.lists(st.one_of(printed, said), max_size=5))
def test_whatever_was_printed_and_said_comes_back_byte_for_byte(entries: list[LogEntry]) -> None:
    back = read(b"".join(map(to_block, entries))) if entries else []
    assert b"".join(entry.data for entry in back) == b"".join(entry.data for entry in entries)
    for kind in ("output", "info", "warning", "error"):
        wanted = [entry for entry in entries if entry.level == kind]
        found = [entry for entry in back if entry.level == kind]
        assert b"".join(entry.data for entry in found) == b"".join(entry.data for entry in wanted)
        assert {entry.at for entry in found} == {entry.at for entry in wanted}
        assert {entry.said for entry in found} == {entry.said for entry in wanted}


@pytest.mark.parametrize("line", [TIME + b" ! error: all is lost", TIME + b" | x", b"! error: x"])
def test_what_a_plugin_prints_never_passes_for_what_malbox_says(line: bytes) -> None:
    for data in (line, line + b"\n"):
        [entry] = read(to_block(LogEntry(AT, "p", "output", data)))
        assert entry == LogEntry(AT, "p", "output", data)


@given(st.lists(st.one_of(lines, lines.map(lambda line: TIME + line), lines.map(lambda line: TIME + b" ! " + line))))
def test_any_lines_are_read_or_passed_over(rows: list[bytes]) -> None:
    for entry in entries_from("p", rows):
        assert 0 <= entry.at <= LATEST
        assert utc_time(entry.at).endswith("Z")


@pytest.mark.parametrize(
    "line",
    [b"", TIME[:-5], TIME[:-1] + b"+", b"x" * 27 + b" | x", TIME + b" ? x", TIME + b" ! fatal: x", b"9" * 27 + b" | x"],
)
def test_what_is_no_line_of_a_log_is_passed_over(line: bytes) -> None:
    assert list(entries_from("p", [line, TIME + b" | x"])) == [LogEntry(AT, "p", "output", b"x\n")]


@pytest.mark.parametrize(
    "line", [b" : warning 5", b" : loud 5 | x", b" : info x | x", b" : info 5 {x | x", b" : info 5 {} x", b" ; | x"]
)
def test_words_that_are_none_are_passed_over(line: bytes) -> None:
    assert read(TIME + line + b"\n") == []


KEY = "k"
START = mark_start(KEY)


def mark(level: str, task: int | None, fields: str = "") -> bytes:
    return marked(KEY, level, task, fields).encode()  # type: ignore[arg-type]  # a word is as good as its literal


def test_marks_are_taken_off_and_lines_of_one_mark_stay_together() -> None:
    data = b"plain\n" + mark("info", 1) + b"a\n" + mark("info", 1) + b"b\n" + mark("error", 2, "{}") + b"c\nd\n"
    assert [(entry.said, entry.data) for entry in unpacked(LogEntry(AT, "p", "output", data, START))] == [
        (None, b"plain\n"),
        (LogMark("info", 1, ""), b"a\nb\n"),
        (LogMark("error", 2, "{}"), b"c\n"),
        (None, b"d\n"),
    ]


def test_a_mark_behind_what_was_written_past_it_begins_a_line() -> None:
    data = b"half" + mark("info", 1) + b"whole\n" + mark("info", 1) + b"no end"
    assert [(entry.said, entry.data) for entry in unpacked(LogEntry(AT, "p", "output", data, START))] == [
        (None, b"half\n"),
        (LogMark("info", 1, ""), b"whole\n"),
        (LogMark("info", 1, ""), b"no end"),
    ]


@pytest.mark.parametrize("other", [marked("x", "error", 5).encode(), b"\x1ek", b"\x1e", b"\x1ek error 5 "])
def test_who_does_not_know_the_key_makes_no_mark(other: bytes) -> None:
    entries = unpacked(LogEntry(AT, "p", "output", other + b"all is lost\n", START))
    assert [entry.said for entry in entries] == [None]


@given(st.lists(lines), lines)
def test_lines_without_marks_stay_as_they_are(rows: list[bytes], rest: bytes) -> None:
    data = rest or b"".join(row + b"\n" for row in rows)
    entry = LogEntry(AT, "p", "output", data, START)
    assert unpacked(entry) == [entry]


@given(st.lists(lines.map(lambda line: line.replace(START, b"")), min_size=1), st.booleans())
def test_lines_of_one_mark_are_one_entry(rows: list[bytes], ends: bool) -> None:
    data = b"".join(mark("output", 5) + row + b"\n" for row in rows)
    entries = unpacked(LogEntry(AT, "p", "output", data if ends else data[:-1], START))
    assert {entry.said for entry in entries} == {LogMark("output", 5, "")}
    assert b"".join(entry.data for entry in entries) == b"".join(row + b"\n" for row in rows)[: None if ends else -1]
    assert sum(entry.line_count for entry in entries) == len(rows)
    assert len(entries) == (1 if ends or len(rows) == 1 else 2)
