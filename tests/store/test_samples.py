"""Samples, read once."""

import hashlib
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from malbox_cli.store import samples as samples_module
from malbox_cli.store.samples import SampleReader, open_regular_file
from malbox_cli.supervisor.events import Event, SampleRead, SampleUnreadable


class Reading:
    """A reader and what it has answered."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.reader = SampleReader(self.answers.put)

    def of(self, path: Path | str) -> Event:
        self.reader.read(1, str(path))
        return self.answers.get(timeout=20)


@pytest.fixture
def reading() -> Iterator[Reading]:
    reading = Reading()
    yield reading
    reading.reader.close()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_the_digest_is_that_of_the_content(reading: Reading, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "s").write_bytes(data)
    assert reading.of(tmp_path / "s") == SampleRead(1, hashlib.sha256(data).hexdigest())


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(reading: Reading, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    answers = {name: reading.of(tmp_path / name) for name in ("fifo", "socket", "", "missing")}
    listener.close()
    errors = {name: answer.error for name, answer in answers.items() if isinstance(answer, SampleUnreadable)}
    assert errors == {
        "fifo": f"cannot read the sample {tmp_path}/fifo: it is not a regular file",
        "socket": f"cannot read the sample {tmp_path}/socket: No such device or address",
        "": f"cannot read the sample {tmp_path}: it is a folder",
        "missing": f"cannot read the sample {tmp_path}/missing: No such file or directory",
    }
    assert reading.of("/dev/zero") == SampleUnreadable(1, "cannot read the sample /dev/zero: it is not a regular file")


@pytest.mark.parametrize("path", ["/a\0b", "/\ud800"], ids=ascii)
def test_a_path_that_cannot_be_one_is_answered_too(reading: Reading, path: str) -> None:
    assert isinstance(reading.of(path), SampleUnreadable)


def test_a_name_that_is_no_utf_8_can_be_read(reading: Reading, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    Path(name).write_bytes(b"x")
    assert reading.of(name) == SampleRead(1, hashlib.sha256(b"x").hexdigest())


def test_tasks_that_wait_for_one_sample_share_one_reading(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    opened: list[str] = []
    gate = threading.Event()

    def slow(path: str) -> int:
        opened.append(path)
        gate.wait(20)
        return open_regular_file(path)

    monkeypatch.setattr(samples_module, "open_regular_file", slow)
    for blocker, path in ((1, f"{tmp_path}/a"), (2, f"{tmp_path}/./a")):  # one for each thread
        reading.reader.read(blocker, path)
    while len(opened) < 2:
        time.sleep(0)
    for task in (3, 4, 5):
        reading.reader.read(task, str(tmp_path / "b"))
    gate.set()
    answers = {reading.answers.get(timeout=20) for _ in range(5)}
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    assert answers == {SampleRead(task, digests["a" if task < 3 else "b"]) for task in range(1, 6)}
    assert len(opened) == 3


def test_a_sample_is_read_again_for_a_task_that_comes_after_it_was_begun(reading: Reading, tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_bytes(b"1")
    assert reading.of(file) == SampleRead(1, hashlib.sha256(b"1").hexdigest())
    file.write_bytes(b"2")
    assert reading.of(file) == SampleRead(1, hashlib.sha256(b"2").hexdigest())


def test_closing_does_not_wait_for_the_end_of_a_large_sample(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    file.touch()
    os.truncate(file, 1 << 40)
    reading = Reading()
    for task in range(5):
        reading.reader.read(task, f"{file}" if task == 0 else f"{tmp_path}/./{'./' * task}sparse")
    started = time.monotonic()
    reading.reader.close()
    assert time.monotonic() - started < 20  # all of it takes ten minutes
    assert reading.answers.empty()


def test_a_file_system_that_does_not_answer_keeps_nobody_from_ending(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def hang(path: str) -> int:
        begun.set()
        gate.wait(20)
        return open_regular_file(path)

    monkeypatch.setattr(samples_module, "open_regular_file", hang)
    monkeypatch.setattr(samples_module, "CLOSE_SECONDS", 0.05)
    reading.reader.read(1, "/hangs")
    assert begun.wait(20)

    reading.reader.close()

    assert not gate.is_set()
    gate.set()
    for thread in reading.reader._threads:
        thread.join(20)
    assert reading.answers.empty()
