"""Samples, read once."""

import hashlib
import os
import queue
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from malbox_cli.store import samples as samples_module
from malbox_cli.store.samples import SampleReader, open_regular_file
from malbox_cli.supervisor.events import Event, SampleRead, SamplesChecked, SampleUnreadable


class Reading:
    """A reader and what it has answered."""

    def __init__(self, copies: Path | None = None) -> None:
        self.answers: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.reader = SampleReader(self.answers.put, copies)

    def of(self, path: Path | str) -> Event:
        self.reader.read(1, str(path))
        return self.answers.get(timeout=20)

    def read(self, path: Path | str) -> SampleRead:
        answer = self.of(path)
        assert isinstance(answer, SampleRead), answer
        return answer

    def check(self, *samples: tuple[int, str, str]) -> SamplesChecked:
        self.reader.check(samples)
        answer = self.answers.get(timeout=20)
        assert isinstance(answer, SamplesChecked)
        return answer


@dataclass
class Copying(Reading):
    """A reader that makes copies."""

    folder: Path

    def __post_init__(self) -> None:
        super().__init__(self.folder)


def digest_of(answer: Event) -> tuple[int, str]:
    assert isinstance(answer, SampleRead), answer
    return answer.task_id, answer.sha256


@pytest.fixture
def reading() -> Iterator[Reading]:
    reading = Reading()
    yield reading
    reading.reader.close()


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[Copying]:
    copying = Copying(tmp_path / "state" / "samples")
    copying.folder.parent.mkdir()
    yield copying
    copying.reader.close()
    assert list((copying.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_the_digest_is_that_of_the_content(reading: Reading, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "s").write_bytes(data)
    answer = reading.read(tmp_path / "s")
    assert (answer.sha256, answer.size, answer.copy) == (hashlib.sha256(data).hexdigest(), size, None)


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
    assert digest_of(reading.of(name)) == (1, hashlib.sha256(b"x").hexdigest())


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
    answers = {digest_of(reading.answers.get(timeout=20)) for _ in range(5)}
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    assert answers == {(task, digests["a" if task < 3 else "b"]) for task in range(1, 6)}
    assert len(opened) == 3


def test_a_sample_is_read_again_for_a_task_that_comes_after_it_was_begun(reading: Reading, tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_bytes(b"1")
    assert digest_of(reading.of(file)) == (1, hashlib.sha256(b"1").hexdigest())
    file.write_bytes(b"2")
    assert digest_of(reading.of(file)) == (1, hashlib.sha256(b"2").hexdigest())


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


def test_a_sample_that_is_as_it_was_is_unchanged(reading: Reading, tmp_path: Path) -> None:
    samples = []
    for task in (1, 2):
        (tmp_path / f"{task}").write_bytes(b"x" * task)
        samples.append((task, f"{tmp_path}/{task}", reading.read(tmp_path / f"{task}").fingerprint))
    assert reading.check(*samples) == SamplesChecked((1, 2), ())


def grow(file: Path) -> None:
    file.write_bytes(b"longer than it was")


def overwrite(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"ABC")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def overwrite_in_secret(file: Path) -> None:
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock for files has a few milliseconds
        file.write_bytes(b"ABC")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"ABC")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (grow, "the sample {} changed while the task waited: it has 18 bytes, it had 3"),
        (overwrite, "the sample {} changed while the task waited: it was written to or replaced"),
        (replace, "the sample {} changed while the task waited: it was written to or replaced"),
        (
            overwrite_in_secret,
            "the sample {} changed while the task waited: its name, owner, mode or time was changed",
        ),
        (make_a_folder, "the sample {} changed while the task waited: it is not a regular file any more"),
        (Path.unlink, "the sample {} is not there any more"),
    ],
)
def test_a_sample_that_changes_while_it_waits_is_told_of(
    reading: Reading, tmp_path: Path, change: Callable[[Path], None], why: str
) -> None:
    file = tmp_path / "s"
    file.write_bytes(b"abc")
    fingerprint = reading.read(file).fingerprint
    change(file)
    assert reading.check((7, str(file), fingerprint)) == SamplesChecked((), ((7, why.format(file)),))


def test_a_sample_that_changes_while_it_is_read_is_refused(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s"
    file.write_bytes(b"abc")
    readv = os.readv

    def changing(descriptor: int, blocks: list[bytearray]) -> int:
        with file.open("ab") as changed:
            changed.write(b"d")
        monkeypatch.undo()
        return readv(descriptor, blocks)

    monkeypatch.setattr(samples_module.os, "readv", changing)
    assert reading.of(file) == SampleUnreadable(1, f"cannot read the sample {file}: it was changed while it was read")


def test_a_copy_is_named_after_its_content_and_read_only(copying: Copying, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "s").write_bytes(data)
    answer = copying.read(tmp_path / "s")
    sha256 = hashlib.sha256(data).hexdigest()
    copy = copying.folder / sha256[:2] / sha256
    assert (answer.sha256, answer.size, answer.copy) == (sha256, len(data), str(copy))
    assert copy.read_bytes() == data
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (copying.folder, copy.parent)} == {0o700}


def test_the_sample_may_go_once_there_is_a_copy_and_the_copy_may_not(copying: Copying, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"abc")
    answer = copying.read(tmp_path / "s")
    (tmp_path / "s").unlink()
    assert answer.copy is not None
    sample = (1, answer.copy, answer.fingerprint)
    assert copying.check(sample) == SamplesChecked((1,), ())
    Path(answer.copy).unlink()
    assert copying.check(sample) == SamplesChecked((), ((1, f"the sample {answer.copy} is not there any more"),))


def test_a_copy_serves_all_who_have_the_content_and_stays_what_it_was(copying: Copying, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"abc")
    first = copying.read(tmp_path / "a")
    assert first.copy is not None
    inode = Path(first.copy).stat().st_ino
    os.utime(first.copy, (0, 0))
    second = copying.read(tmp_path / "b")
    assert second == first
    assert Path(first.copy).stat().st_ino == inode
    assert Path(first.copy).stat().st_mtime > 0  # prune takes no copy that was wanted a moment ago
    assert copying.check((1, first.copy, first.fingerprint)) == SamplesChecked((1,), ())


def test_a_copy_that_is_cut_is_made_again(copying: Copying, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"abc")
    answer = copying.read(tmp_path / "s")
    assert answer.copy is not None
    os.chmod(answer.copy, 0o600)
    os.truncate(answer.copy, 1)
    copying.read(tmp_path / "s")
    assert Path(answer.copy).read_bytes() == b"abc"


def test_a_copy_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"abc")
    (tmp_path / "samples").touch()
    copying = Copying(tmp_path / "samples")
    answer = copying.of(tmp_path / "s")
    copying.reader.close()
    assert isinstance(answer, SampleUnreadable)
    assert answer.error.startswith(f"cannot read the sample {tmp_path}/s: cannot copy it to {tmp_path}/samples")
