"""Filters, and the streams whose lines say their level and their task."""

import asyncio
import io
import json
import subprocess
import sys
import threading

import pytest
from harness import DEADLINE, Scripted, running

from plugin_runtime.context import Context
from plugin_runtime.current_task import begin_task, current_task, end_task
from plugin_runtime.log_filter import LogFilter, parse_log_filter
from plugin_runtime.log_stream import MarkedLines, MarkedStream
from plugin_runtime.wire.log_marks import LogMark, mark_start, parse_mark

KEY = "k"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LogFilter()),
        ("info", LogFilter("info")),
        ("WARN", LogFilter("warning")),
        ("debug, info", LogFilter("info")),
        ("off,my_plugin=trace", LogFilter("off", (("my_plugin", "trace"),))),
        ("a::b=debug,,a=error,a=warn", LogFilter(None, (("a.b", "debug"), ("a", "warning")))),
    ],
)
def test_a_filter_has_a_level_and_others_for_some_loggers(text: str, expected: LogFilter) -> None:
    assert parse_log_filter(text) == expected


@pytest.mark.parametrize("text", ["loud", "a=loud", "=info", "[span]=info", "my_plugin"])
def test_what_is_no_filter_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^has '"):
        parse_log_filter(f"info,{text}")


class Streams:
    """Two streams of one process, and what they wrote."""

    def __init__(self) -> None:
        self.raw = io.BytesIO()
        lines = MarkedLines(KEY)
        self.plain = io.TextIOWrapper(self.raw, "utf-8")
        self.out, self.err = MarkedStream(self.plain, lines), MarkedStream(self.plain, lines)

    def written(self) -> list[tuple[LogMark | None, bytes]]:
        lines = self.raw.getvalue().split(b"\n")
        assert lines.pop() == b""
        start = mark_start(KEY)
        read = [(parse_mark(line.removeprefix(start)) if line.startswith(start) else None, line) for line in lines]
        return [mark or (None, line) for mark, line in read]


def in_thread(*steps: object) -> None:
    """Run something in a thread that begins task 2."""

    def run() -> None:
        begin_task(2, alone=False)
        for step in steps:
            assert callable(step)
            step()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_what_is_printed_in_a_task_has_its_number_and_nothing_else_has_a_mark() -> None:
    streams = Streams()
    print("before", file=streams.out)
    begin_task(1, alone=True)
    print("a\nb", "c", file=streams.out)
    print("d", end="", file=streams.out)
    print("e", file=streams.out)
    streams.err.log("bad\nworse", "error", None, '{"a": 1}')
    end_task()
    print("after", file=streams.err)
    task = LogMark("output", 1, "")
    assert streams.written() == [
        (None, b"before"),
        (task, b"a"),
        (task, b"b c"),
        (task, b"de"),
        (LogMark("error", None, '{"a": 1}'), b"bad"),
        (LogMark("error", None, ""), b"worse"),
        (None, b"after"),
    ]


def test_lines_of_several_threads_do_not_mix_and_none_is_held_back() -> None:
    streams = Streams()
    begin_task(1, alone=False)
    streams.out.write("mine ")
    assert streams.raw.getvalue().endswith(b"mine ")
    in_thread(lambda: streams.err.write("theirs"), lambda: streams.err.write("\n"))
    streams.out.write("\n")
    streams.out.write("begun ")
    in_thread(lambda: streams.err.write("theirs"))
    streams.out.write("goes on\n")
    streams.out.write("next\n")
    end_task()
    one, two = LogMark("output", 1, ""), LogMark("output", 2, "")
    assert streams.written() == [
        (one, b"mine "),
        (two, b"theirs"),
        (one, b"begun "),
        (two, b"theirs"),
        (one, b"goes on"),
        (one, b"next"),
    ]


def test_a_thread_of_its_own_belongs_to_the_one_task_that_runs() -> None:
    seen: list[int | None] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(current_task()))
        thread.start()
        thread.join()

    begin_task(1, alone=True)
    look()
    end_task()
    look()
    begin_task(1, alone=False)
    look()
    end_task()
    assert seen == [1, None, None]


PROGRAM = """
import asyncio, logging, os, sys, threading, warnings
{before}
from plugin_runtime.current_task import begin_task
from plugin_runtime.log import configure_logging, report_to_stderr
configure_logging("k", {filter!r})
begin_task(7, alone=True)
{body}
"""


def run(body: str, before: str = "", log_filter: str = "") -> list[tuple[str, int | None, dict[str, object], str]]:
    """Run a program, and return the level, the task, the fields and the text of each line."""
    program = PROGRAM.format(before=before, filter=log_filter, body=body)
    done = subprocess.run([sys.executable, "-c", program], stdout=-1, stderr=subprocess.STDOUT, timeout=60, check=False)
    rows: list[tuple[str, int | None, dict[str, object], str]] = []
    for line in done.stdout.splitlines():
        read = parse_mark(line.removeprefix(mark_start("k"))) if line.startswith(mark_start("k")) else None
        mark, text = read or (LogMark("output", None, ""), line)
        rows.append((mark.level, mark.task, json.loads(mark.fields or "{}"), text.decode()))
    return rows


def test_records_have_their_level_and_what_was_added_to_them() -> None:
    rows = run('logging.getLogger("a").warning("x %d", 1, extra={"found": [1]}); logging.debug("dropped")')
    assert rows == [("warning", 7, {"found": [1]}, "a: x 1")]


def test_a_filter_decides_what_is_logged() -> None:
    body = 'logging.getLogger("a.b").debug("kept"); logging.info("dropped"); logging.warning("kept")'
    assert [row[3] for row in run(body, log_filter="warn,a=debug")] == ["a.b: kept", "root: kept"]


def test_warnings_and_what_nobody_catches_are_logged() -> None:
    rows = run(
        'warnings.warn("careful")\n'
        'thread = threading.Thread(target=lambda: 1 / 0, name="t"); thread.start(); thread.join()\n'
        "class Bad:\n    def __del__(self): raise KeyError(3)\n"
        "bad = Bad(); del bad\n"
        "async def main():\n    asyncio.get_running_loop().call_soon(lambda: [][1])\n    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
        'report_to_stderr("malbox says")'
    )
    assert {row[1] for row in rows} == {7}
    warned = [row[3] for row in rows if row[0] == "warning"]
    failed = [row[3] for row in rows if row[0] == "error"]
    assert any("UserWarning: careful" in text for text in warned)
    assert "exception in thread t:" in failed
    for text in ("ZeroDivisionError: division by zero", "KeyError: 3", "IndexError: list index out of range"):
        assert text in failed
    assert failed[-1] == "malbox says"
    assert len(warned) + len(failed) == len(rows)


def test_an_author_s_own_handler_keeps_its_format_and_gets_level_and_task() -> None:
    before = 'logging.basicConfig(format="mine %(message)s", level="DEBUG")'
    assert run('logging.error("x"); print("y")', before) == [("error", 7, {}, "mine x"), ("output", 7, {}, "y")]


def test_a_forked_child_can_print_while_the_lock_was_held() -> None:
    body = (
        "with sys.stdout._lines.lock:\n    pid = os.fork()\n    if not pid:\n"
        "        thread = threading.Thread(target=lambda: print('child', flush=True)); thread.start(); thread.join()\n"
        "        os._exit(0)\n    os.waitpid(pid, 0)"
    )
    assert run(body) == [("output", 7, {}, "child")]


def test_each_of_several_tasks_at_once_knows_its_own() -> None:
    seen: dict[int, list[int | None]] = {1: [], 2: []}
    both = threading.Barrier(2, timeout=DEADLINE)

    def note(ctx: Context) -> None:
        seen[ctx.task().id].append(current_task())

    def sync(ctx: Context) -> None:
        both.wait()
        note(ctx)

    async def awaits(ctx: Context) -> None:
        await asyncio.to_thread(both.wait)
        note(ctx)
        await asyncio.to_thread(note, ctx)
        await asyncio.create_task(noted(ctx))

    async def noted(ctx: Context) -> None:
        note(ctx)

    for handler, times in ((sync, 1), (awaits, 3)):
        with running(Scripted(on_task=handler), concurrency=2) as supervisor:
            supervisor.ready()
            tasks = [supervisor.send(number) for number in (1, 2)]
            for task in tasks:
                assert supervisor.finish(task).error is None
        assert seen == {1: [1] * times, 2: [2] * times}
        for each in seen.values():
            each.clear()
