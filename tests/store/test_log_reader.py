"""Logs, read back."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from malbox_cli.store import log_file, log_reader
from malbox_cli.store.log_file import append, log_path
from malbox_cli.store.log_format import LogEntry, to_block
from malbox_cli.store.log_reader import LogReader
from malbox_cli.store.logs import Logs
from plugin_runtime.errors import MalboxError


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_FILE_BYTES", 400)  # ten lines and a bit
    monkeypatch.setattr(log_reader, "BLOCK", 64)
    monkeypatch.setattr(log_reader, "MAX_NEWS", 200)


def write(folder: Path, *numbers: int, name: str = "p") -> None:
    for number in numbers:
        assert append(folder, name, [to_block(LogEntry(number, name, "output", b"%07d\n" % number))]) == (1, None)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LogReader]:
    with LogReader(tmp_path, "p", "p") as reader:
        yield reader


def numbers(entries: list[LogEntry]) -> list[int]:
    return [int(entry.data) for entry in entries]


def all_news(reader: LogReader) -> list[int]:
    found: list[int] = []
    while news := reader.news():
        found += numbers(news)
    return found


@given(st.lists(st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")), min_size=1, max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_printed_comes_back_byte_for_byte_both_ways(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    *whole, rest = lines
    entries = [LogEntry(1, "p", "output", line + b"\n") for line in whole]
    entries += [LogEntry(2, "p", "output", rest)] if rest else []
    append(folder, "p", map(to_block, entries))
    kept = sum(path.stat().st_size for path in folder.iterdir())
    with LogReader(folder, "p", "p") as reader:
        back = [entry.data for entry in reader.backwards()][::-1]
    with LogReader(folder, "p", "p") as reader:
        forwards = []
        while news := reader.news():
            forwards += [entry.data for entry in news]
    printed = b"".join(entry.data for entry in entries)
    assert b"".join(back) == b"".join(forwards)
    assert printed.endswith(b"".join(back))
    if kept < 4 * 400:  # else the first of it may be gone
        assert b"".join(back) == printed


def test_a_log_is_read_from_its_end_through_its_files(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, *range(35))
    assert len(list(tmp_path.iterdir())) == 4
    assert numbers(list(reader.backwards())) == list(range(35))[::-1]


def test_no_more_is_read_than_is_asked_for(tmp_path: Path, reader: LogReader, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *range(35))
    pread, sizes = os.pread, []

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return pread(descriptor, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(log_reader.os, "pread", counting)
        assert numbers(list(islice(reader.backwards(), 2))) == [34, 33]
    assert sum(sizes) <= 4 * 64


def test_what_comes_after_the_end_that_was_read_is_news(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, *range(5))
    back = reader.backwards()
    write(tmp_path, 5, 6)
    assert numbers(list(back)) == [4, 3, 2, 1, 0]
    assert all_news(reader) == [5, 6]
    assert reader.news() == []
    write(tmp_path, 7)
    assert all_news(reader) == [7]


@pytest.mark.parametrize("steps", [[1] * 60, [3] * 20, [7] * 9, [25, 1, 30], [10, 10, 10, 10]])
def test_news_go_on_through_the_files_that_follow(tmp_path: Path, reader: LogReader, steps: list[int]) -> None:
    written, found = 0, []
    write(tmp_path, 1000)
    assert numbers(list(reader.backwards())) == [1000]
    for step in steps:
        write(tmp_path, *range(written, written + step))
        written += step
        found += all_news(reader)
    assert found == list(range(written))


def test_files_get_other_numbers_while_a_log_is_read_backwards(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, *range(35))
    found = []
    for entry in reader.backwards():
        found.append(int(entry.data))
        if len(found) in (3, 17):  # five files are enough for all of it
            write(tmp_path, *range(100, 105))
    assert found == list(range(35))[::-1]
    assert all_news(reader) == [*range(100, 105), *range(100, 105)]


def test_a_log_that_grows_faster_than_it_is_read_says_that_lines_are_missing(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, 0)
    list(reader.backwards())
    write(tmp_path, *range(1, 100))
    found: list[LogEntry] = []
    while news := reader.news():
        found += news
    [notice] = [entry for entry in found if entry.level == "warning"]
    assert b"lines are missing here" in notice.data
    position = found.index(notice)
    before, after = numbers(found[:position]), numbers(found[position + 1 :])
    assert before == list(range(1, before[-1] + 1))
    assert after == list(range(after[0], 100))


def test_a_log_that_comes_later_is_read_from_its_beginning(tmp_path: Path, reader: LogReader) -> None:
    assert list(reader.backwards()) == []
    assert reader.news() == []
    write(tmp_path, *range(15))
    assert all_news(reader) == list(range(15))


def test_a_log_that_was_removed_goes_on_with_the_new_one(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, 1)
    list(reader.backwards())
    write(tmp_path, 2)
    log_path(tmp_path, "p").unlink()
    assert all_news(reader) == [2]
    write(tmp_path, 3)
    assert all_news(reader) == [3]


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, 1, 2)
    list(reader.backwards())
    log_path(tmp_path, "p").write_bytes(b"")
    assert all_news(reader) == []
    write(tmp_path, 3)
    assert all_news(reader) == [3]


def test_a_line_that_is_just_being_written_is_read_when_it_is_whole(tmp_path: Path, reader: LogReader) -> None:
    write(tmp_path, 1)
    line = to_block(LogEntry(2, "p", "output", b"2\n"))
    with log_path(tmp_path, "p").open("ab") as file:
        file.write(line[:20])
        file.flush()
        assert numbers(list(reader.backwards())) == [1]
        assert all_news(reader) == []
        file.write(line[20:])
    assert all_news(reader) == [2]


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b"no line of a log\n" * 50, bytes(1000), b"x" * 1000 + b"\n"])
def test_what_is_no_log_is_passed_over(tmp_path: Path, reader: LogReader, data: bytes) -> None:
    log_path(tmp_path, "p").write_bytes(data)
    assert list(reader.backwards()) == []
    assert reader.news() == []
    append(tmp_path, "p", [to_block(LogEntry(1, "p", "output", b"1\n"))])
    assert all_news(reader) == [1]


def test_a_log_that_may_not_be_read_says_so(tmp_path: Path, reader: LogReader, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(log_reader.os, "open", refuse)
        with pytest.raises(MalboxError, match=r"cannot read .*p\.log: Permission denied"):
            reader.backwards()


def test_what_is_no_file_is_no_log(tmp_path: Path, reader: LogReader) -> None:
    os.mkfifo(log_path(tmp_path, "p"))
    assert list(reader.backwards()) == []
    assert reader.news() == []


class Merged:
    """Two logs that were written in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(30):
            write(folder, number, name="pq"[number % 2])
        append(folder, "p", [to_block(LogEntry(30, "p", "info", b"stopped\n"))])


@pytest.fixture
def merged(tmp_path: Path) -> Merged:
    return Merged(tmp_path / "logs")


def test_several_logs_are_merged_by_time(merged: Merged) -> None:
    with Logs(merged.folder) as logs:
        assert logs.look()
        entries = logs.last(5)
        assert [(entry.at, entry.plugin) for entry in entries] == [
            (26, "p"), (27, "q"), (28, "p"), (29, "q"), (30, "p"),
        ]  # fmt: skip
        assert logs.news() == []
        assert [entry.at for entry in logs.last(1000)] == list(range(31))
        assert [entry.at for entry in logs.last(1000, oldest=28)] == [28, 29, 30]
        assert logs.last(0) == []


def test_all_of_several_logs_and_then_what_comes(merged: Merged) -> None:
    with Logs(merged.folder) as logs:
        logs.look()
        assert [entry.at for entry in logs.all()] == list(range(31))
        write(merged.folder, 41, 43, name="q")
        write(merged.folder, 42, name="new")
        assert [(entry.at, entry.plugin) for entry in logs.news()] == [(41, "q"), (42, "new"), (43, "q")]
    with Logs(merged.folder) as logs:
        logs.look()
        assert [entry.at for entry in logs.all(oldest=42)] == [42, 43]


def test_only_the_logs_that_are_wanted_are_read(merged: Merged) -> None:
    append(merged.folder, "malbox", [to_block(LogEntry(5, None, "info", b"stopping\n"))])
    with Logs(merged.folder, ["q", "mal*"]) as logs:
        logs.look()
        assert {entry.plugin for entry in logs.last(1000)} == {"q", None}
    with Logs(merged.folder, ["nobody"]) as logs:
        assert not logs.look()


def test_what_malbox_says_can_be_left_out(merged: Merged) -> None:
    with Logs(merged.folder, only_printed=True) as logs:
        logs.look()
        assert [entry.at for entry in logs.last(2)] == [28, 29]
    with Logs(merged.folder, only_printed=True) as logs:
        logs.look()
        assert [entry.at for entry in logs.all()] == list(range(30))


def test_no_descriptor_is_left(merged: Merged) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        logs = stack.enter_context(Logs(merged.folder))
        logs.look()
        logs.last(20)
        assert len(os.listdir("/proc/self/fd")) == before + 2
    assert len(os.listdir("/proc/self/fd")) == before
