"""The lines of the logs on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.store.log_format import LATEST, LogEntry, entries_from, to_block, utc_time

AT = 1_764_021_723_123_456
TIME = b"2025-11-24T22:02:03.123456Z"

lines = st.binary().map(lambda data: data.replace(b"\n", b""))
levels = st.sampled_from(["info", "warning", "error"])
printed = st.builds(
    lambda at, rows, rest: LogEntry(at, "p", "output", rest or b"".join(row + b"\n" for row in rows)),
    st.integers(0, LATEST),
    st.lists(lines, min_size=1),
    lines,
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
