"""Logs, for the terminal or for other programs."""

import json
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.output.log_text import LogText, log_json
from malbox_cli.store.log_format import LogEntry, LogLevel
from malbox_cli.supervisor.log_lines import printable
from plugin_runtime.wire.log_marks import LogMark


def entry(data: bytes, plugin: str | None = "yara", level: LogLevel = "output") -> LogEntry:
    return LogEntry(1_764_021_723_123_456, plugin, level, data)


def shown(text: LogText, *entries: LogEntry) -> list[str]:
    lines = b"".join(map(text.render, entries)).decode().split("\n")
    assert lines.pop() == ""
    return lines


def test_a_line_has_its_time_who_said_it_and_the_text() -> None:
    lines = shown(
        LogText(colour=False),
        entry(b"one\ntwo\n"),
        entry(b"no end"),
        entry(b"READY\n", level="info"),
        entry(b"stopping\n", plugin=None, level="info"),
    )
    clock = time.strftime("%H:%M:%S", time.localtime(1_764_021_723))
    assert lines == [
        f"{clock} yara | one",
        f"{clock} yara | two",
        f"{clock} yara | no end",
        f"{clock} malbox | yara: READY",
        f"{clock} malbox | stopping",
    ]


def test_the_time_can_have_a_date() -> None:
    [line] = shown(LogText(colour=False, with_date=True), entry(b"x\n"))
    assert re.fullmatch(r"2025-11-2[345] \d\d:\d\d:\d\d yara \| x", line)


def test_what_does_something_to_a_terminal_is_escaped_and_raw_it_is_not() -> None:
    data = b"\x1b[2J\xff\r\nx\x00\n"
    assert shown(LogText(colour=False), entry(data))[0].endswith(r"yara | \x1b[2J\xff")
    raw = LogText(colour=False, raw=True).render(entry(data))
    assert re.fullmatch(rb".{8} yara \| \x1b\[2J\xff\r\n.{8} yara \| x\x00\n", raw)


def test_what_malbox_says_is_escaped_even_raw() -> None:
    assert b"\x1b" not in LogText(colour=False, raw=True).render(entry(b"\x1b[2J\n", level="error"))


@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), min_size=1))
def test_however_many_lines_come_at_once_each_is_shown_as_alone(lines: list[bytes]) -> None:
    text = LogText(colour=False)
    assert [line.partition(" | ")[2] for line in shown(text, entry(b"".join(line + b"\n" for line in lines)))] == [
        printable(line) for line in lines
    ]


def test_each_plugin_has_a_colour_that_does_not_depend_on_who_speaks_first() -> None:
    def colour_of(text: LogText, plugin: str) -> str:
        match = re.search(rb"\x1b\[(\d+)m" + plugin.encode(), text.render(entry(b"x\n", plugin)))
        assert match is not None
        return match[1].decode()

    first = LogText(colour=True, plugins=["a", "b"])
    second = LogText(colour=True, plugins=["a", "b"])
    assert [colour_of(first, plugin) for plugin in "ab"] == [colour_of(second, plugin) for plugin in "ba"][::-1]
    assert len({colour_of(first, plugin) for plugin in "abc"}) == 3


def test_a_raw_line_does_not_colour_what_comes_after_it() -> None:
    assert LogText(colour=True, raw=True).render(entry(b"\x1b[31mred\nx\n")).count(b"\x1b[0m\n") == 2


@pytest.mark.parametrize(("level", "code"), [("warning", b"\x1b[33m"), ("error", b"\x1b[31m")])
def test_warnings_and_errors_are_coloured(level: LogLevel, code: bytes) -> None:
    assert code + b"yara: bad" in LogText(colour=True).render(entry(b"bad\n", level=level))
    assert b"\x1b" not in LogText(colour=False).render(entry(b"bad\n", level=level))


def test_text_that_the_terminal_has_no_letters_for_is_escaped() -> None:
    assert LogText(colour=False, encoding="ascii").render(entry("ü\n".encode())).endswith(b"| \\xfc\n")


PRINTED = {"source": "plugin", "task": None, "fields": {}}
SAID = {**PRINTED, "source": "malbox"}
TIME = "2025-11-24T22:02:03.123456Z"


def test_json_has_an_object_for_each_line() -> None:
    lines = log_json(entry(b"one\n\xff\x1b\xe2\x80\xa8\n")) + log_json(entry(b"x\n", None, "warning"))
    assert lines.isascii()
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"time": TIME, "level": "output", "plugin": "yara", **PRINTED, "text": "one"},
        {
            "time": TIME,
            "level": "output",
            "plugin": "yara",
            **PRINTED,
            "text": "\\xff\x1b\u2028",
        },
        {"time": TIME, "level": "warning", "plugin": None, **SAID, "text": "x"},
    ]


@given(st.binary())
def test_any_line_is_an_object_on_one_line(data: bytes) -> None:
    line = data.replace(b"\n", b"")
    written = log_json(entry(line + b"\n"))
    assert written.count(b"\n") == 1
    assert json.loads(written)["text"] == line.decode("utf-8", "backslashreplace")


def test_what_a_plugin_logged_has_its_level_and_its_task() -> None:
    said = LogEntry(0, "yara", "output", b"slow\nvery\n", said=LogMark("warning", 5, '{"found": 3}'))
    lines = shown(LogText(colour=False), said)
    assert [line.partition("yara")[2] for line in lines] == [" | task 5 | WARNING slow", " | task 5 | WARNING very"]
    assert b"\x1b[33mWARNING\x1b[0m slow" in LogText(colour=True).render(said)
    printed = replace(said, said=LogMark("output", 5, ""))
    assert shown(LogText(colour=False), printed)[0].endswith("yara | task 5 | slow")
    row = json.loads(log_json(said).splitlines()[0])
    assert (row["level"], row["task"], row["fields"], row["source"]) == ("warning", 5, {"found": 3}, "plugin")
