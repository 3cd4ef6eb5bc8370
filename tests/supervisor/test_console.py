"""The operator's terminal, which may stand still."""

import io
import os
import pty
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from malbox_cli.supervisor import console as console_module
from malbox_cli.supervisor.console import MAX_WAITING, Console


@contextmanager
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    try:
        yield reader, stream
    finally:
        stream.close()
        os.close(reader)


def read_all(reader: int) -> list[str]:
    chunks = []
    os.set_blocking(reader, False)
    while True:
        try:
            chunks.append(os.read(reader, 1 << 16))
        except BlockingIOError:
            return b"".join(chunks).decode().splitlines()


def test_a_line_has_its_time_who_said_it_and_the_text() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream)
        console.line("yara", "hello")
        console.say("warning", "careful")
        console.close()
        first, second = read_all(reader)
    assert re.fullmatch(r"\d\d:\d\d:\d\d yara \| hello", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d malbox \| careful", second)


def test_what_is_said_cannot_do_anything_to_the_terminal_or_pass_for_another_line() -> None:
    stream = io.StringIO()
    console = Console(quiet=False, stream=stream)
    console.say("error", "a\x1b[2Jb\n00:00:00 malbox | all is well")
    console.close()
    assert stream.getvalue().endswith("malbox | a\\x1b[2Jb\\n00:00:00 malbox | all is well\n")


def test_quiet_leaves_out_what_is_only_information() -> None:
    stream = io.StringIO()
    console = Console(quiet=True, stream=stream)
    console.say("info", "dull")
    console.say("error", "bad")
    console.line("p", "printed")
    console.close()
    assert [line.split(" | ")[1] for line in stream.getvalue().splitlines()] == ["bad", "printed"]


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
        console.say("error", "bad")
        console.line("a", "x")
        console.close()
        text = os.read(ours, 4096).decode()
    os.close(ours)
    assert ("\x1b[31mbad\x1b[0m" in text) is not no_color
    assert ("\x1b[" in text) is not no_color


def test_text_that_the_terminal_has_no_letters_for_is_escaped() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="ascii") as stream:
        console = Console(quiet=False, stream=stream)
        console.line("p", "ü")
        console.close()
        assert read_all(reader)[0].endswith("| \\xfc")
    os.close(reader)


def test_a_terminal_that_stands_still_blocks_nobody_and_shows_how_many_lines_were_dropped() -> None:
    with pipe() as (reader, stream):
        console = Console(quiet=False, stream=stream)
        text = "x" * 100
        sent = 0
        while not console._dropped:  # the pipe is full, and so is the queue
            console.line("p", text)
            sent += 1
        for _ in range(9):
            console.line("p", text)
            sent += 1
        dropped = console._dropped
        assert dropped >= 10
        assert sent > MAX_WAITING
        lines: list[str] = []
        while len(lines) < sent - dropped:
            lines += read_all(reader)
        console.line("p", "after")
        console.close()
        rest = read_all(reader)
    assert rest[0] == f"... {dropped} lines were dropped: the terminal did not take them"
    assert rest[1].endswith("p | after")
    assert len(rest) == 2


def test_lines_that_were_dropped_last_are_counted_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            gate.wait()
            return super().write(text)

    monkeypatch.setattr(console_module, "MAX_WAITING", 3)
    stream = Slow()
    console = Console(quiet=False, stream=stream)
    while not console._dropped:
        console.line("p", "x")
    console.line("p", "y")
    gate.set()
    console.close()
    assert stream.getvalue().splitlines()[-1].startswith("... 2 lines were dropped")


def test_close_gives_up_on_a_terminal_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "FLUSH_SECONDS", 0.1)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = Console(quiet=False, stream=stream)
        while not console._dropped:
            console.line("p", "x" * 1000)
        started = time.monotonic()
        console.close()
        assert time.monotonic() - started < 20  # and not for ever
        assert console._thread.is_alive()
        os.close(reader)  # now its writes fail, and it comes to its end
        while console._thread.is_alive():
            console._waiting.put(None)
            console._thread.join(0.05)


def test_a_terminal_that_was_closed_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        console = Console(quiet=False, stream=stream)
        console.say("error", "nobody reads this")
        console.close()
        assert not console._thread.is_alive()
