"""What nobody needs any more goes, and nothing else does."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import Writing, added, ended, kept

from malbox_cli.store import prune as prune_module
from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_schema import ledger_path
from malbox_cli.store.objects import object_path
from malbox_cli.store.prune import Pruned, prune
from plugin_runtime.errors import MalboxError


class Place:
    """A state folder with files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, kind: str, data: bytes, age: float = 100_000) -> Path:
        """Make a file of some age that is named after its content."""
        path = object_path(self.folder / kind, hashlib.sha256(data).hexdigest())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time.time() - age,) * 2)
        return path

    def write(self, *entries: object) -> None:
        """Write entries as a supervisor that says goodbye."""
        writing = Writing(self.folder)
        for entry in entries:
            writing.write(entry)  # type: ignore[arg-type]
        assert writing.ledger.close()

    def end_at(self, times: dict[int, float]) -> None:
        """Have tasks ended at other times."""
        with closing(sqlite3.connect(ledger_path(self.folder))) as db, db:
            db.executemany("UPDATE tasks SET ended_at = ? WHERE task = ?", [(at, task) for task, at in times.items()])

    def tasks(self) -> list[int]:
        with LedgerReader(self.folder) as reader:
            return [row.task for row in reader.tasks()]

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("ledger.db")}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    return Place(tmp_path)


def result(task: int, data: bytes, path: Path) -> object:
    return kept(task, data=None, path=str(path), sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("dry_run", [True, False])
def test_tasks_of_long_ago_go_with_what_only_they_had(place: Place, dry_run: bool) -> None:
    old, both, new, _ = (place.file("objects", data) for data in (b"old", b"both", b"new", b"nobody's"))
    copy, kept_copy = place.file("samples", b"s1"), place.file("samples", b"s2")
    place.write(
        added(1, sha256=copy.name, copy=str(copy)),
        *(result(1, b"old", old), ended(1)),
        *(added(2), result(2, b"both", both), ended(2)),
        *(added(3), result(3, b"both", both), ended(3)),
        *(added(4, sha256=kept_copy.name, copy=str(kept_copy)), result(4, b"new", new)),
        *(added(5), kept(5, data=b"{1}"), ended(5)),
    )
    place.end_at({1: 10.0, 2: 10.0, 3: time.time(), 5: 10.0})
    before = place.files()
    now = time.time()
    size = len(b"old" + b"nobody's" + b"s1" + b"{1}")
    assert prune(place.folder, now - 1000, dry_run=dry_run) == Pruned(3, 3, size)
    if dry_run:
        assert place.files() == before
        assert place.tasks() == [5, 4, 3, 2, 1]
    else:
        assert place.files() == {both, new, kept_copy}
        assert place.tasks() == [4, 3]
        assert prune(place.folder, now - 1000) == Pruned(0, 0, 0)


def test_nothing_is_left_of_a_task_that_goes_and_the_file_shrinks(place: Place) -> None:
    place.write(*(each for task in range(1, 1001) for each in (added(task), kept(task, data=b"x" * 3000), ended(task))))
    place.end_at(dict.fromkeys(range(1, 1001), 10.0))
    before = ledger_path(place.folder).stat().st_size
    assert prune(place.folder, 1000.0) == Pruned(1000, 1000, 3_000_000)
    with closing(sqlite3.connect(ledger_path(place.folder))) as db:
        for table in ("tasks", "attempts", "results", "notes"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert ledger_path(place.folder).stat().st_size < before / 20


def test_what_is_on_its_way_into_a_ledger_stays(place: Place) -> None:
    young, old = place.file("objects", b"young", age=1800), place.file("objects", b"old", age=7200)
    writing = Writing(place.folder)
    assert prune(place.folder, time.time()) == Pruned(0, 0, 3)
    assert place.files() == {young}
    assert not old.exists()
    assert writing.ledger.close()
    prune(place.folder, time.time())
    assert place.files() == set()


def test_content_that_is_stored_again_while_it_goes_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.file("objects", b"again")
    make_folder = prune_module.make_folder

    def store_again(folder: Path) -> bool:
        part = place.folder / "part"
        part.write_bytes(b"again")
        part.rename(file)  # after prune has looked at it, and before it has moved it
        return make_folder(folder)

    monkeypatch.setattr(prune_module, "make_folder", store_again)
    assert prune(place.folder, time.time() - 1000) == Pruned(0, 0, 0)
    assert place.files() == {file}


def test_what_a_killed_prune_had_moved_comes_back_first(place: Place) -> None:
    file = place.file("objects", b"needed")
    place.write(added(1), result(1, b"needed", file))
    (place.folder / "objects" / "tmp").mkdir()
    file.rename(place.folder / "objects" / "tmp" / f"pruned-{file.name}")
    prune(place.folder, time.time() - 1000)
    assert place.files() == {file}


def test_old_unfinished_files_and_folders_of_runs_go(place: Place) -> None:
    for age in (100, 100_000):
        at = (time.time() - age,) * 2
        for folder in ("objects/tmp", "samples/tmp", f"results/run-{age}/1"):
            (place.folder / folder).mkdir(parents=True, exist_ok=True)
            path = place.folder / folder / f"{age}"
            path.write_bytes(b"12345")
            os.utime(path, at)
        for folder in (f"results/run-{age}/1", f"results/run-{age}"):
            os.utime(place.folder / folder, at)
    assert prune(place.folder, time.time() - 1000) == Pruned(0, 0, 15)
    assert {path.relative_to(place.folder).as_posix() for path in place.files()} == {
        *("objects/tmp/100", "samples/tmp/100", "results/run-100/1/100")
    }


def test_a_supervisor_goes_on_writing_meanwhile(place: Place) -> None:
    place.write(*(each for task in range(1, 2001) for each in (added(task), ended(task))))
    place.end_at(dict.fromkeys(range(1, 2001), 10.0))
    writing = Writing(place.folder)
    numbers = [writing.write(added(task)) for task in range(5001, 5101)]
    assert prune(place.folder, 1000.0).tasks == 2000
    writing.until(numbers[-1])
    assert writing.ledger.close()
    assert len(place.tasks()) == 100


def test_no_ledger_is_nothing_to_prune_and_stays_none(place: Place) -> None:
    assert prune(place.folder, time.time()) == Pruned(0, 0, 0)
    assert not ledger_path(place.folder).exists()


def test_what_is_no_ledger_is_left_alone_with_its_files(place: Place) -> None:
    file = place.file("objects", b"x")
    ledger_path(place.folder).write_text("a text that is no database" * 100)
    with pytest.raises(MalboxError, match="is no ledger"):
        prune(place.folder, time.time())
    assert file.exists()
