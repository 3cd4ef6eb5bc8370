"""Logs on disk, and the files that they are continued in."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from malbox_cli.store import log_file
from malbox_cli.store.log_file import KEPT_FILES, append, files_of, log_names, log_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(log_file, "MAX_FILE_BYTES", 100)
    return 100


def content(folder: Path, name: str = "p") -> list[bytes]:
    return [path.read_bytes() for path in files_of(folder, name) if path.exists()]


def test_blocks_are_appended_and_counted_by_their_lines(tmp_path: Path) -> None:
    assert append(tmp_path, "p", [b"1\n2\n", b"3\n"]) == (3, None)
    assert append(tmp_path, "p", [b"4\n"]) == (1, None)
    assert append(tmp_path, "p", []) == (0, None)
    assert content(tmp_path) == [b"1\n2\n3\n4\n"]


def test_the_folder_is_made_when_it_is_needed_and_is_for_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "logs"
    before = os.umask(0)
    try:
        append(folder, "p", [b"1\n"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(log_path(folder, "p").stat().st_mode) == 0o600


def test_a_full_file_is_followed_by_another_and_the_oldest_goes(tmp_path: Path, small: int) -> None:
    lines = [b"%09d\n" % number for number in range(95)]
    for start in range(0, 95, 5):
        assert append(tmp_path, "p", lines[start : start + 5]) == (5, None)
    files = content(tmp_path)
    assert len(files) == KEPT_FILES
    assert all(len(file) <= small for file in files)
    assert b"".join(reversed(files)) == b"".join(lines[-len(b"".join(files)) // 10 :])
    assert len(b"".join(files)) > (KEPT_FILES - 1) * small
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.log", *(f"p.log.{number}" for number in range(1, 5))]


def test_many_blocks_in_one_go_fill_several_files(tmp_path: Path, small: int) -> None:
    lines = [b"%09d\n" % number for number in range(45)]
    assert append(tmp_path, "p", lines) == (45, None)
    files = content(tmp_path)
    assert [len(file) for file in files] == [small // 2, *([small] * 4)]
    assert b"".join(reversed(files)) == b"".join(lines)


def test_a_block_that_is_larger_than_a_file_has_one_for_itself(tmp_path: Path, small: int) -> None:
    large = b"x" * (3 * small) + b"\n"
    append(tmp_path, "p", [b"1\n", large, b"2\n"])
    assert content(tmp_path) == [b"2\n", large, b"1\n"]


def test_a_file_stays_as_it_is_while_another_process_gives_it_the_next_number(tmp_path: Path, small: int) -> None:
    append(tmp_path, "p", [b"x" * small])
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    append(tmp_path, "p", [b"1\n", b"2\n"])
    assert content(tmp_path) == [b"x" * small + b"\n1\n2\n"]
    os.close(descriptor)
    append(tmp_path, "p", [b"3\n"])
    assert content(tmp_path) == [b"3\n", b"x" * small + b"\n1\n2\n"]


def test_a_log_goes_on_that_was_moved_or_removed(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    append(folder, "p", [b"1\n"])
    log_path(folder, "p").rename(tmp_path / "mine")
    append(folder, "p", [b"2\n"])
    assert content(folder) == [b"2\n"]
    log_path(folder, "p").unlink()
    folder.rmdir()
    append(folder, "p", [b"3\n"])
    assert content(folder) == [b"3\n"]


def test_a_line_that_was_cut_off_ends_before_the_next_begins(tmp_path: Path) -> None:
    log_path(tmp_path, "p").write_bytes(b"1\ncut")
    append(tmp_path, "p", [b"2\n"])
    assert content(tmp_path) == [b"1\ncut\n2\n"]


def test_of_a_write_that_was_cut_short_the_whole_lines_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    room = 7

    def until_full(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        done = write(descriptor, data[:room])
        room -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(log_file.os, "write", until_full)
        lines, error = append(tmp_path, "p", [b"one\n", b"two\n", b"three\n"])
    assert lines == 1
    assert error is not None
    assert error.strerror == "No space left on device"
    assert content(tmp_path) == [b"one\ntwo"]


@pytest.mark.parametrize("fault", ["a folder in its place", "a file as its folder"])
def test_what_cannot_be_written_says_why(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "logs"
    if fault == "a file as its folder":
        folder.touch()
    else:
        log_path(folder, "p").mkdir(parents=True)
    lines, error = append(folder, "p", [b"1\n"])
    assert lines == 0
    assert error is not None
    assert error.strerror


def test_only_logs_are_listed(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "a.log.1", "A-1_x.log", "x y.log", "\x1b[2J.log", "c.txt", ".log"):
        (tmp_path / name).touch()
    assert log_names(tmp_path) == ["A-1_x", "a", "b"]
    assert log_names(tmp_path / "nowhere") == []
