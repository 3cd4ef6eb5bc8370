"""The thread that puts logs on disk."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from malbox_cli.store import log_file, log_writer
from malbox_cli.store.log_file import log_path
from malbox_cli.store.log_format import LogEntry, LogLevel, to_block
from malbox_cli.store.log_writer import LogWriter

PATIENCE = 20.0


def entry(plugin: str | None, data: bytes, level: LogLevel = "output") -> LogEntry:
    return LogEntry(1, plugin, level, data)


def eventually(condition: object, what: str) -> None:
    assert callable(condition)
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.002)


def texts(path: Path) -> list[str]:
    """Return the lines of a log without their times."""
    lines = path.read_text().split("\n") if path.exists() else [""]
    assert lines.pop() == ""
    return [line[28:] for line in lines]


class Log:
    """A writer, and what it has warned of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self.writer = LogWriter(folder, self.warnings.append)

    def put(self, plugin: str | None, data: bytes, level: LogLevel = "output") -> None:
        self.writer.put(entry(plugin, data, level))

    def texts(self, name: str = "p") -> list[str]:
        return texts(log_path(self.folder, name))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "logs")
    yield log
    log.writer.close()
    assert not log.writer._thread.is_alive()


def test_each_plugin_has_a_log_and_malbox_too(log: Log) -> None:
    log.put("p", b"1\n2\n")
    log.put("q", b"3\n")
    log.put("p", b"READY\n", "info")
    log.put(None, b"stopping\n", "info")
    log.put("p", b"no end")
    log.writer.close()
    assert log.texts("p") == ["| 1", "| 2", "! info: READY", "\\ no end"]
    assert log.texts("q") == ["| 3"]
    assert log.texts("malbox") == ["! info: stopping"]
    assert log.warnings == []


def test_there_is_no_folder_without_a_line(log: Log) -> None:
    log.writer.close()
    assert not log.folder.exists()


def test_lines_are_on_disk_before_the_end(log: Log) -> None:
    log.put("p", b"1\n")
    eventually(lambda: log.texts() == ["| 1"], "is written")
    log.put("p", b"2\n")
    eventually(lambda: log.texts() == ["| 1", "| 2"], "is written")


class SlowDisk:
    """A disk on which writes stand still until the gate is opened."""

    def __init__(self) -> None:
        self.stands = threading.Event()
        self.gate = threading.Event()
        self.writes = 0
        self._write = os.write

    def write(self, descriptor: int, data: bytes) -> int:
        self.stands.set()
        self.gate.wait()
        self.writes += 1
        return self._write(descriptor, data)


@contextmanager
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk()
    with monkeypatch.context() as patch:
        patch.setattr(log_file.os, "write", disk.write)
        yield disk
        disk.gate.set()


def test_a_disk_that_is_too_slow_costs_lines_and_the_log_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_LINES", 10)
    log = Log(tmp_path)
    with slow_disk(monkeypatch) as disk:
        log.put("p", b"first\n")
        assert disk.stands.wait(PATIENCE)
        for number in range(25):
            log.put("p", b"%d\n" % number)
        log.put("q", b"other\n")
        log.put("p", b"stopped\n", "info")
        disk.gate.set()
        log.writer.close()
    kept = [f"| {number}" for number in range(10)]
    why = "dropped: the disk did not take them in time"
    assert log.texts() == ["| first", *kept, f"! warning: 15 lines were {why}", "! info: stopped"]
    assert log.texts("q") == [f"! warning: 1 line was {why}"]
    assert log.warnings == []


def test_many_lines_are_written_at_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_disk(monkeypatch) as disk:
        log.put("p", b"first\n")
        assert disk.stands.wait(PATIENCE)
        for number in range(1000):
            log.put("p", b"%d\n" % number)
        disk.gate.set()
        log.writer.close()
    assert len(log.texts()) == 1001
    assert disk.writes == 2


def test_close_gives_up_on_a_disk_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "CLOSE_SECONDS", 0.1)
    with slow_disk(monkeypatch) as disk:
        log = Log(tmp_path)
        log.put("p", b"1\n")
        assert disk.stands.wait(PATIENCE)
        log.writer.close()
        assert log.writer._thread.is_alive()
        disk.gate.set()
        log.writer._thread.join(PATIENCE)
    assert log.texts() == ["| 1"]


def test_a_log_that_cannot_be_written_costs_one_warning_and_one_when_it_can_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "FIRST_PAUSE", 0.01)
    broken = log_path(log.folder, "p")
    broken.mkdir(parents=True)
    log.put("p", b"1\n2\n")
    eventually(lambda: log.warnings, "warns")
    for number in range(50):
        log.put("p", b"%d\n" % number)
        log.put("q", b"%d\n" % number)
    eventually(lambda: len(log.texts("q")) == 50, "the others are written")
    assert log.warnings == [f"cannot write {broken}: Is a directory; lines are missing there until it can"]

    broken.rmdir()

    eventually(lambda: len(log.warnings) > 1, "is well again, without another line")
    log.put("p", b"last\n")
    log.writer.close()
    assert log.warnings[1:] == [f"the logs in {log.folder} are written again"]
    assert log.texts() == ["! warning: 52 lines were lost: Is a directory", "| last"]


def test_what_was_lost_is_counted_in_the_end_too(log: Log) -> None:
    broken = log_path(log.folder, "p")
    broken.mkdir(parents=True)
    log.put("p", b"1\n2\n")
    eventually(lambda: log.warnings, "warns")
    log.put("p", b"3\n")
    broken.rmdir()
    log.writer.close()
    assert log.texts() in (
        ["! warning: 3 lines were lost: Is a directory"],
        ["! warning: 2 lines were lost: Is a directory", "| 3"],
    )


def test_a_disk_that_is_full_again_and_again_is_warned_of_less_and_less_often(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "FIRST_PAUSE", 0.001)
    broken = log_path(log.folder, "p")
    broken.parent.mkdir()
    for turn in range(5):
        broken.mkdir()
        log.put("p", b"1\n")
        eventually(lambda turn=turn: len(log.warnings) == 2 * turn + 1, "warns")
        broken.rmdir()
        eventually(lambda turn=turn: len(log.warnings) == 2 * turn + 2, "is well again")
        broken.unlink()
    assert log.writer._pause >= 0.032


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("mount is not installed")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "malbox-test", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield folder
    finally:
        subprocess.run([umount, str(folder)], check=True, capture_output=True)


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_a_full_disk_loses_lines_says_how_many_and_goes_on_when_there_is_room(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "FIRST_PAUSE", 0.05)
    log = Log(tiny_disk / "logs")
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(40 << 10))
    given = [b"%099d\n" % number for number in range(1000)]
    for start in range(0, 1000, 100):
        log.put("p", b"".join(given[start : start + 100]))
    eventually(lambda: log.warnings, "warns")

    ballast.unlink()

    eventually(lambda: len(log.warnings) == 2, "is well again")
    log.put("p", b"after\n")
    log.writer.close()
    assert "No space left on device; lines are missing there" in log.warnings[0]
    *kept, cut, notice, last = log.texts()
    assert last == "| after"
    assert kept == [f"| {line[:-1].decode()}" for line in given[: len(kept)]]
    assert f"| {given[len(kept)][:-1].decode()}".startswith(cut)
    whole = len(kept) + (len(cut) == len(kept[0]))
    assert notice == f"! warning: {1000 - whole} lines were lost: No space left on device"


def test_what_is_on_disk_is_what_the_format_says(log: Log) -> None:
    given = entry("p", bytes(set(range(256)) - {10}) + b"\n")
    log.writer.put(given)
    log.writer.close()
    assert log_path(log.folder, "p").read_bytes() == to_block(given)
