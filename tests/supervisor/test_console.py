"""The operator's terminal, which may stand still."""

import io
import json
import os
import pty
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from malbox_cli.store.log_format import LogEntry, LogLevel
from malbox_cli.supervisor import console as console_module
from malbox_cli.supervisor.console import Console

PATIENCE = 20.0


def said(text: str, level: LogLevel = "info", plugin: str | None = None) -> LogEntry:
    return LogEntry(1, plugin, level, f"{text}\n".encode())


def printed(plugin: str, data: bytes) -> LogEntry:
    return LogEntry(1, plugin, "output", data)


@contextmanager
def pipe(encoding: str = "utf-8") -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding=encoding)
    try:
        yield reader, stream
    finally:
        stream.close()
        os.close(reader)


def read_now(reader: int) -> bytes:
    chunks = []
    os.set_blocking(reader, False)
    while True:
        try:
            chunks.append(os.read(reader, 1 << 16))
        except BlockingIOError:
            return b"".join(chunks)


def read_all(reader: int) -> list[str]:
    return read_now(reader).decode().splitlines()


def read_until(reader: int, end: bytes) -> bytes:
    data = bytearray()
    give_up_at = time.monotonic() + PATIENCE
    looked_at = 0
    while data.find(end, looked_at) < 0:
        assert time.monotonic() < give_up_at, data[-1000:]
        looked_at = max(0, len(data) - len(end))
        select.select([reader], [], [], 1)  # looking all the time would leave the writing thread none
        data += read_now(reader)
    return bytes(data)


def texts(lines: list[str]) -> list[str]:
    return [line.partition(" ")[2] for line in lines]


def test_everything_is_shown_in_its_order() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream)
        console.put(printed("yara", b"hello\nthere\n"))
        console.put(said("careful", "warning"))
        console.put(said("READY", plugin="yara"))
        console.close()
        assert texts(read_all(reader)) == [
            "yara | hello", "yara | there", "malbox | careful", "malbox | yara: READY",
        ]  # fmt: skip


def test_quiet_leaves_out_what_is_only_information() -> None:
    stream = io.StringIO()
    console = Console(quiet=True, stream=stream)
    console.put(said("dull"))
    console.put(said("bad", "error"))
    console.put(printed("p", b"printed\n"))
    console.close()
    assert texts(stream.getvalue().splitlines()) == ["malbox | bad", "p | printed"]


def test_a_stream_without_a_descriptor_gets_a_line_at_a_time() -> None:
    class Lines(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.writes: list[str] = []

        def write(self, text: str) -> int:
            self.writes.append(text)
            return super().write(text)

    stream = Lines()
    console = Console(quiet=False, stream=stream)
    console.put(printed("p", b"1\n2\n"))
    console.close()
    assert [text[-2:] for text in stream.writes] == ["1\n", "2\n"]


@pytest.mark.parametrize("no_color", [False, True])
def test_there_are_colours_on_a_terminal_only_and_not_with_no_color(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        console = Console(quiet=False, stream=stream)
        console.put(said("bad", "error"))
        console.put(printed("a", b"x\n"))
        console.close()
        text = os.read(ours, 4096).decode()
    os.close(ours)
    assert ("\x1b[31mbad\x1b[0m" in text) is not no_color
    assert ("\x1b[" in text) is not no_color


def test_json_is_an_object_a_line() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream, log_format="json")
        console.put(printed("yara", b"1\n2\n"))
        console.put(said("stopping"))
        console.close()
        rows = [json.loads(line) for line in read_all(reader)]
    assert [(row["plugin"], row["level"], row["text"]) for row in rows] == [
        ("yara", "output", "1"), ("yara", "output", "2"), (None, "info", "stopping"),
    ]  # fmt: skip


def test_raw_output_reaches_the_terminal_as_it_is() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream, raw=True)
        console.put(printed("p", b"\x1b[31m\xff\r\n"))
        console.close()
        assert os.read(reader, 4096).endswith(b" p | \x1b[31m\xff\r\n")


def test_a_terminal_that_stands_still_blocks_nobody_and_shows_what_was_dropped_of_whom() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream)
        block = b"%s\n" % (b"x" * 100) * 100
        for _ in range(8):  # more than a pipe holds
            console.put(printed("p", block))
        sent = 800
        select.select([reader], [], [], PATIENCE)  # the thread has taken what was there, and cannot write it all
        while "p" not in console._queue._dropped:  # the pipe is full, and so is the queue
            console.put(printed("p", block))
            sent += 100
        console.put(printed("p", block))
        console.put(printed("p", block))
        console.put(printed("q", block))
        sent += 200
        console.put(said("still here", "warning"))
        data = read_until(reader, b"| q: ")
        console.close()
        lines = (data + read_now(reader)).decode().splitlines()
    shown = lines.count(lines[0])
    assert shown < sent
    assert shown == len([line for line in lines if line.endswith("x")])
    assert texts(lines[shown:]) == [
        "malbox | still here",
        f"malbox | p: {sent - shown} lines were dropped: the terminal did not take them",
        "malbox | q: 100 lines were dropped: the terminal did not take them",
    ]


def test_lines_that_were_dropped_last_are_counted_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, stands = threading.Event(), threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            stands.set()
            gate.wait()
            return super().write(text)

    monkeypatch.setattr(console_module, "MAX_LINES", 3)
    stream = Slow()
    console = Console(quiet=False, stream=stream)
    console.put(printed("p", b"first\n"))
    assert stands.wait(PATIENCE)
    for number in range(5):
        console.put(printed("p", b"%d\n" % number))
    gate.set()
    console.close()
    assert texts(stream.getvalue().splitlines())[1:] == [
        "p | 0", "p | 1", "p | 2", "malbox | p: 2 lines were dropped: the terminal did not take them",
    ]  # fmt: skip


def test_close_gives_up_on_a_terminal_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "FLUSH_SECONDS", 0.1)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = Console(quiet=False, stream=stream)
        while "p" not in console._queue._dropped:
            console.put(printed("p", b"x" * 10_000 + b"\n"))
        console.close()
        assert console._thread.is_alive()
        os.close(reader)  # now its writes fail, and it comes to its end
        console._thread.join(PATIENCE)
        assert not console._thread.is_alive()


def test_a_terminal_that_somebody_made_unable_to_wait_loses_nothing() -> None:
    with pipe() as (reader, stream):
        os.set_blocking(stream.fileno(), False)
        console = Console(quiet=False, stream=stream)
        for number in range(2000):
            console.put(printed("p", b"%0100d\n" % number))
        lines = read_until(reader, b"%0100d\n" % 1999).decode().splitlines()
        console.close()
    assert [int(line.rpartition(" ")[2]) for line in lines] == list(range(2000))


def test_a_terminal_that_was_closed_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        console = Console(quiet=False, stream=stream)
        console.put(said("nobody reads this", "error"))
        console.close()
        assert not console._thread.is_alive()
