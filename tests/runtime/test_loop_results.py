"""Results of every size and kind, from the handler to the supervisor."""

import array
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from harness import Scripted, do, running

from plugin_runtime.context import Context
from plugin_runtime.errors import ResultRefused
from plugin_runtime.results import PluginResult
from plugin_runtime.wire.messages import DataFormat

MIB = 1 << 20
SIZES = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]
FLOW_CONTROLS = [pytest.param(True, id="credits"), pytest.param(False, id="blocking")]


def refused(on_task: Any, **options: Any) -> str:
    """Run a handler that is refused a result, and return the reason; nothing of it may have left."""
    reasons: list[str] = []

    def catches(ctx: Context) -> None:
        if ctx.task().id == 1:
            with pytest.raises(ResultRefused) as caught:
                on_task(ctx.results())
            reasons.append(str(caught.value))

    task, _ = do(catches, **options)
    assert (task.frames, task.error) == (1, None)
    return reasons[0]


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_bytes_of_every_size_arrive_equal(uses_credits: bool) -> None:
    data = {f"{size}": os.urandom(size) for size in SIZES}

    def on_task(ctx: Context) -> None:
        for name, value in data.items():
            ctx.results().push(PluginResult.bytes(name, value))

    task, _ = do(on_task, uses_credits=uses_credits)
    assert {name: value for name, _, value in task.results} == data
    assert {data_format for _, data_format, _ in task.results} == {DataFormat.BYTES}


@pytest.mark.parametrize("uses_credits", FLOW_CONTROLS)
def test_a_result_of_100_mib_arrives_equal(uses_credits: bool) -> None:
    data = os.urandom(MIB) * 100

    task, _ = do(lambda ctx: ctx.results().push_bytes("big", data), uses_credits=uses_credits)
    assert task.frames == 102
    assert hashlib.sha256(task.results[0][2]).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"abc", b"abc", id="bytes"),
        pytest.param(bytearray(b"abc"), b"abc", id="bytearray"),
        pytest.param(memoryview(b"abcdef")[1:4], b"bcd", id="a view"),
        pytest.param(memoryview(b"abcdef")[::2], b"ace", id="a view with gaps"),
        pytest.param(array.array("H", [1, 258]), b"\x01\x00\x02\x01", id="an array"),
        pytest.param(memoryview(array.array("H")), b"", id="an empty array"),
        pytest.param(memoryview(bytes(6)).cast("B", (2, 3)), bytes(6), id="two dimensions"),
    ],
)
def test_bytes_may_be_any_buffer(data: Any, expected: bytes) -> None:
    task, _ = do(lambda ctx: ctx.results().push_bytes("x", data))
    assert task.results == [("x", DataFormat.BYTES, expected)]


def test_bytes_may_be_changed_once_the_push_returned() -> None:
    def on_task(ctx: Context) -> None:
        data = bytearray(b"a" * (2 * MIB))
        ctx.results().push_bytes("x", data)
        data[:] = b"b" * 10

    task, _ = do(on_task)
    assert task.results[0][2] == b"a" * (2 * MIB)


def test_json_keeps_its_format_and_all_are_pushed_in_order() -> None:
    def on_task(ctx: Context) -> None:
        sink = ctx.results()
        sink.push_json("raw", b'{"a": 1}')
        result = PluginResult.json("made", {"ä": [1.5, None]})
        sink.push_all([result, result, PluginResult.bytes("b", b"x")])

    task, _ = do(on_task)
    assert task.results == [
        ("raw", DataFormat.JSON, b'{"a": 1}'),
        ("made", DataFormat.JSON, '{"ä":[1.5,null]}'.encode()),
        ("made", DataFormat.JSON, '{"ä":[1.5,null]}'.encode()),
        ("b", DataFormat.BYTES, b"x"),
    ]


@pytest.mark.parametrize("name", ["x", "ä" * 127, "n" * 255, "mit leer\nzeile"])
def test_a_name_arrives_as_it_is(name: str) -> None:
    task, _ = do(lambda ctx: ctx.results().push_bytes(name, b"x" * (MIB + 1)))
    assert task.results == [(name, DataFormat.BYTES, b"x" * (MIB + 1))]


@pytest.mark.parametrize(
    ("push", "reason"),
    [
        pytest.param(lambda sink: sink.push_bytes("", b"x"), "is empty", id="empty name"),
        pytest.param(lambda sink: sink.push_bytes("ä" * 128, b"x"), "has 256 bytes", id="name of 256 bytes"),
        pytest.param(lambda sink: sink.push_json("", b"{}"), "is empty", id="empty name, json"),
        pytest.param(lambda sink: sink.push_file("", __file__), "is empty", id="empty name, file"),
        pytest.param(lambda sink: sink.push_file("n" * 256, __file__), "has 256 bytes", id="long name, file"),
        pytest.param(lambda sink: sink.push_bytes("x", "text"), "takes bytes, not str", id="text"),
        pytest.param(lambda sink: sink.push_bytes("x", 5), "takes bytes, not int", id="a number"),
        pytest.param(lambda sink: sink.push_json("x", b"{"), "is not JSON in UTF-8", id="no json"),
    ],
)
def test_what_cannot_travel_is_refused_and_nothing_of_it_leaves(push: Any, reason: str) -> None:
    assert reason in refused(push)


def test_a_push_takes_a_plugin_result() -> None:
    task, _ = do(lambda ctx: ctx.results().push({"bytes": 1}))
    assert task.error is not None
    assert task.error.endswith("TypeError: push takes a PluginResult, not dict: make one with PluginResult.json(...)")


@pytest.mark.parametrize("size", [0, 1, MIB])
def test_a_file_up_to_the_threshold_goes_as_bytes(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(size))

    def on_task(ctx: Context) -> None:
        ctx.results().push_file("x", path)
        if ctx.task().id == 1:
            path.unlink()
            path.write_bytes(b"something else")

    task, _ = do(on_task)
    assert task.results == [("x", DataFormat.BYTES, data)]
    assert task.files == []


def test_a_file_above_the_threshold_goes_by_its_path_and_may_be_deleted_after(tmp_path: Path) -> None:
    path = tmp_path / "größe\udcff"
    path.write_bytes(b"x" * 101)
    (tmp_path / "link").symlink_to(path)

    def on_task(ctx: Context) -> None:
        os.chdir(tmp_path)
        ctx.results().push(PluginResult.file("x", "link"))
        path.unlink()

    before = Path.cwd()
    try:
        with running(Scripted(on_task=on_task), file_ref_threshold=100) as supervisor:
            supervisor.ready()
            task = supervisor.send(1)
            supervisor.until(lambda: task.receive(grant=False) and bool(task.files))
            assert path.exists()
            task.stream.grant()
            supervisor.finish(task)
    finally:
        os.chdir(before)
    assert task.error is None
    assert task.files == [("x", str(path))]
    assert task.results == []


def test_a_cancel_ends_a_push_that_waits_for_its_file_to_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 101)
    with running(
        Scripted(on_task=lambda ctx: ctx.results().push_file("x", path)), file_ref_threshold=100
    ) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False) and bool(task.files))
        supervisor.cancel(1)
        assert supervisor.finish(task).error == "the task was cancelled"


def test_under_a_foreign_daemon_a_large_file_goes_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(3 * MIB + 1))
    task, _ = do(lambda ctx: ctx.results().push_file("x", str(path)), uses_credits=False, extensions=False)
    assert task.results == [("x", DataFormat.BYTES, data)]
    assert task.files == []


def test_a_large_file_below_a_larger_threshold_goes_as_bytes_and_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(20 * MIB))
    with running(
        Scripted(on_task=lambda ctx: ctx.results().push_file("x", path)), file_ref_threshold=100 * MIB
    ) as supervisor:
        supervisor.ready()
        assert len(supervisor.do(1).results[0][2]) == 20 * MIB
        task = supervisor.send(2)
        supervisor.until(lambda: task.receive(grant=False) and task.frames == 3)
        supervisor.cancel(2)
        task.stream.grant()
        task.stream.grant()
        assert supervisor.finish(task).error == "the task was cancelled"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda folder: folder / "missing", "cannot read .*missing: No such file", id="missing"),
        pytest.param(lambda folder: folder, "is not a regular file", id="directory"),
        pytest.param(fifo, "fifo is not a regular file", id="fifo"),
        pytest.param(lambda _: Path("/dev/zero"), "/dev/zero is not a regular file", id="device"),
        pytest.param(lambda folder: f"{folder}/a\0b", "cannot read .*: embedded null", id="nul"),
        pytest.param(lambda _: Path("/proc/self/mem"), "cannot read /proc/self/mem: Input", id="unreadable"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(make: Any, reason: str, tmp_path: Path) -> None:
    text = refused(lambda sink: sink.push_file("x", make(tmp_path)))
    assert text.startswith("result 'x': ")
    assert re.search(reason, text)
