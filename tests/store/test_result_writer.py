"""Results on disk."""

import hashlib
import os
import queue
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from malbox_cli.store import results as results_module
from malbox_cli.store.results import MAX_SMALL, ResultWriter, Written
from malbox_cli.supervisor.events import ResultNotStored, ResultStored
from plugin_runtime.wire.messages import DataFormat

MIB = 1 << 20
BYTES, JSON = DataFormat.BYTES, DataFormat.JSON
Answer = ResultStored | ResultNotStored | Written


class Store:
    """A writer and what it has answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.writer = ResultWriter(folder, self.answers.put)

    def put(self, task: int, name: str, data: bytes, format_: DataFormat = BYTES, cut: int = MIB) -> None:
        starts = range(0, max(1, len(data)), cut)
        for start in starts:
            last = start == starts[-1]
            self.writer.write(task, name, format_, data[start : start + cut], is_first=start == 0, is_last=last)

    def next(self) -> Answer:
        return self.answers.get(timeout=20)

    def end(self) -> ResultStored | ResultNotStored:
        """Return the next answer that is not for a mere frame."""
        while isinstance(answer := self.next(), Written):
            pass
        return answer

    def path(self, data: bytes) -> Path:
        sha256 = hashlib.sha256(data).hexdigest()
        return self.folder / "objects" / sha256[:2] / sha256

    def has(self, *contents: bytes) -> bool:
        """Return whether these and no other files are there."""
        files = {path for path in self.folder.rglob("*") if path.is_file()}
        return files == {self.path(data) for data in contents}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state")
    store.folder.mkdir(mode=0o700)
    yield store
    store.writer.close()
    assert not list((store.folder / "objects").glob("tmp/*"))


@pytest.mark.parametrize("size", [0, 1, MAX_SMALL, MAX_SMALL + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 3, 17 * MIB])
def test_a_result_of_any_size_is_on_disk_as_it_was(store: Store, size: int) -> None:
    data = os.urandom(size)
    store.put(1, "dump", data)
    answer = store.end()
    path = store.path(data)
    small = data if size <= MAX_SMALL else None
    assert answer == ResultStored(1, "dump", "bytes", str(path), size, hashlib.sha256(data).hexdigest(), data=small)
    assert path.read_bytes() == data


def test_every_frame_is_answered_and_the_last_one_after_the_result(store: Store) -> None:
    store.put(1, "r", b"abc", cut=1)
    kinds = [type(store.next()) for _ in range(4)]
    assert kinds == [Written, Written, ResultStored, Written]


def test_folders_are_0700_and_files_read_only(store: Store) -> None:
    before = os.umask(0)
    try:
        store.put(1, "r", b"x")
        store.end()
    finally:
        os.umask(before)
    for folder in (store.folder / "objects", store.path(b"x").parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path(b"x").stat().st_mode) == 0o400


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "", "a\x00b\nc", "x" * 255, "ünïcode"])
def test_a_result_s_name_has_no_say_in_where_it_is(store: Store, name: str) -> None:
    store.put(7, name, b"x")
    answer = store.end()
    assert isinstance(answer, ResultStored)
    assert answer.name == name
    assert store.has(b"x")


@pytest.mark.parametrize("data", [b"x", b"x" * MIB], ids=["small", "large"])
def test_results_with_the_same_content_are_one_file_that_is_as_new_as_the_last(store: Store, data: bytes) -> None:
    store.put(1, "r", data)
    store.end()
    os.utime(store.path(data), (0, 0))
    store.put(2, "s", data)
    store.end()
    assert store.has(data)
    assert store.path(data).stat().st_mtime > 0  # prune takes nothing that was stored a moment ago


def test_a_small_result_in_many_pieces_goes_along_with_its_announcement(store: Store) -> None:
    store.put(1, "r", b"abcdef", cut=1)
    answer = store.end()
    assert isinstance(answer, ResultStored)
    assert answer.data == b"abcdef"


def test_a_large_result_is_on_disk_with_its_name_before_it_is_announced(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def noting(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def noted(*args: object) -> None:
            steps.append(name)
            call(*args)

        return noted

    for name in ("fdatasync", "rename", "fsync"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    store.path(b"x" * MIB).parent.mkdir(parents=True)
    (store.folder / "objects" / "tmp").mkdir()
    store.put(1, "r", b"x" * MIB)
    store.end()
    assert steps == ["fdatasync", "rename", "fsync"]


def test_a_small_result_is_synced_by_the_ledger_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(1, "r", b"x")
    store.end()
    monkeypatch.setattr(os, "fdatasync", None)
    monkeypatch.setattr(os, "fsync", None)
    store.put(1, "r", b"x")
    assert isinstance(store.end(), ResultStored)


def test_results_of_one_name_are_kept_apart(store: Store) -> None:
    for data in (b"1", b"2"):
        store.put(1, "r", data)
    first, second = store.end(), store.end()
    assert isinstance(first, ResultStored)
    assert isinstance(second, ResultStored)
    assert (Path(first.path).read_bytes(), Path(second.path).read_bytes()) == (b"1", b"2")


def test_answers_come_in_the_order_of_what_was_given(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"f" * (3 * MIB))
    store.put(1, "a", b"x" * (4 * MIB))
    store.writer.copy(1, "b", os.open(tmp_path / "file", os.O_RDONLY))
    store.writer.refuse(1, "c", "cannot open it")
    store.put(2, "d", b"")
    store.put(1, "e", b"[1]", JSON)
    assert [(answer.task_id, answer.name) for answer in (store.end() for _ in range(5))] == [
        (1, "a"),
        (1, "b"),
        (1, "c"),
        (2, "d"),
        (1, "e"),
    ]


def test_a_refused_result_is_answered_as_any_other(store: Store) -> None:
    store.writer.refuse(3, "r", "cannot open it")
    assert [store.next(), store.next()] == [ResultNotStored(3, "r", "cannot open it"), Written(3)]


@pytest.mark.parametrize(
    ("data", "valid"),
    [(b'{"a": 1}', True), (b"{", False), (b"", False), (b"NaN", False), (b"[" * 5000, False)],
    ids=repr,
)
def test_what_says_it_is_json_is_looked_at(store: Store, data: bytes, *, valid: bool) -> None:
    store.put(1, "r", data, JSON)
    answer = store.end()
    assert isinstance(answer, ResultStored)
    assert (answer.format, answer.json_is_valid) == ("json", valid)


def test_json_that_would_take_long_to_parse_is_believed(store: Store) -> None:
    store.put(1, "r", b"{" * (MIB + 1), JSON)
    answer = store.end()
    assert isinstance(answer, ResultStored)
    assert answer.json_is_valid


def test_what_is_unfinished_of_a_task_that_is_over_is_gone(store: Store) -> None:
    store.put(1, "r", b"whole")
    store.writer.write(1, "s", BYTES, b"first", is_first=True, is_last=False)
    store.writer.forget(1)
    store.end()
    store.writer.close()
    assert store.has(b"whole")


def test_a_file_is_copied_and_closed(store: Store, tmp_path: Path) -> None:
    data = os.urandom(2 * MIB + 7)
    (tmp_path / "file").write_bytes(data)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    store.writer.copy(1, "f", descriptor)
    answer = store.end()
    assert isinstance(answer, ResultStored)
    assert (answer.format, answer.size, answer.sha256) == ("file", len(data), hashlib.sha256(data).hexdigest())
    assert Path(answer.path).read_bytes() == data
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_that_cannot_be_read_is_not_stored(store: Store, tmp_path: Path) -> None:
    store.writer.copy(1, "f", os.open(tmp_path, os.O_RDONLY))
    assert store.end() == ResultNotStored(1, "f", "Is a directory")
    assert store.has()


def test_what_is_abandoned_is_gone_and_what_comes_of_it_later_is_taken_without_a_word(store: Store) -> None:
    store.put(1, "whole", b"x")
    store.writer.write(1, "r", BYTES, b"first", is_first=True, is_last=False)
    store.writer.abandon(1)
    store.writer.write(1, "r", BYTES, b"late", is_first=False, is_last=True)
    store.writer.abandon(99)
    assert isinstance(store.next(), ResultStored)
    assert [store.next() for _ in range(3)] == [Written(1)] * 3
    store.writer.close()
    assert store.has(b"x")


def test_a_result_that_is_unfinished_at_the_end_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.writer.write(1, "r", BYTES, b"first", is_first=True, is_last=False)
    store.writer.close()
    assert store.has()


def test_close_finishes_what_was_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(20):
        store.put(number, "r", b"x" * MIB)
    store.writer.close()
    assert sum(isinstance(store.next(), ResultStored) for _ in range(40)) == 20


def test_a_full_disk_loses_the_result_and_nothing_else(store: Store) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, before[1]))
    try:
        store.put(1, "large", b"x" * (8 * MIB))
        store.put(1, "small", b"y")
        lost, kept = store.end(), store.end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(lost, ResultNotStored)
    assert lost.error.startswith(f"{store.folder}/objects/tmp/")
    assert lost.error.endswith(": File too large")
    assert isinstance(kept, ResultStored)
    assert store.has(b"y")


def test_no_space_is_told_as_the_system_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(results_module.os, "write", full)
        store.put(1, "r", b"abc", cut=1)
        answer = store.end()
    assert isinstance(answer, ResultNotStored)
    assert answer.error.endswith(": No space left on device")


def test_a_folder_that_cannot_be_made_loses_the_result(tmp_path: Path) -> None:
    (tmp_path / "objects").touch()
    store = Store(tmp_path)
    store.put(1, "r", b"abc", cut=1)
    answer = store.end()
    store.writer.close()
    assert isinstance(answer, ResultNotStored)
    assert answer.error.endswith("/objects: Not a directory")


def test_a_write_that_takes_only_a_part_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(results_module.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        store.put(1, "r", b"abcdefgh")
        answer = store.end()
    assert isinstance(answer, ResultStored)
    assert Path(answer.path).read_bytes() == b"abcdefgh"


def test_a_disk_that_does_not_answer_does_not_keep_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_module, "CLOSE_SECONDS", 0.05)
    reader, writer = os.pipe()  # a file that never comes
    store.writer.copy(1, "stuck", reader)
    store.put(1, "behind", b"data")
    assert not store.writer.close()
    os.close(writer)
    assert isinstance(store.end(), ResultStored)
    assert isinstance(store.end(), ResultStored)
    monkeypatch.undo()
    assert store.writer.close()
