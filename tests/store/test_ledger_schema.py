"""The ledger's file, and what is no ledger."""

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.store import ledger_schema
from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_schema import LedgerError, connect, from_db, ledger_path, make, to_db


def open_and_make(state_dir: Path) -> None:
    db = connect(ledger_path(state_dir))
    try:
        make(db, ledger_path(state_dir))
    finally:
        db.close()


def read(state_dir: Path) -> None:
    with LedgerReader(state_dir) as reader:
        reader.tasks()


EACH = pytest.mark.parametrize("use", [open_and_make, read], ids=["written", "read"])


def tables(state_dir: Path) -> list[str]:
    db = sqlite3.connect(ledger_path(state_dir))
    try:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    finally:
        db.close()


def test_a_ledger_is_made_for_its_user_only_and_made_again_stays_as_it_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_and_make(tmp_path)
    finally:
        os.umask(before)
    open_and_make(tmp_path)
    assert tables(tmp_path) == ["attempts", "counters", "notes", "results", "sessions", "tasks"]
    assert stat.S_IMODE(ledger_path(tmp_path).stat().st_mode) == 0o600


def test_its_pages_are_small_since_each_that_a_task_changes_goes_to_disk_whole(tmp_path: Path) -> None:
    path = ledger_path(tmp_path)
    with closing(connect(path)) as db:
        make(db, path)
        assert db.execute("PRAGMA page_size").fetchone() == (ledger_schema.PAGE_BYTES,)


def test_many_make_one_ledger_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for made in [pool.submit(open_and_make, tmp_path) for _ in range(16)]:
            made.result()
    assert len(tables(tmp_path)) == 6


@EACH
def test_a_newer_one_is_refused_and_left_alone(tmp_path: Path, use: Callable[[Path], None]) -> None:
    open_and_make(tmp_path)
    db = sqlite3.connect(ledger_path(tmp_path))
    db.execute("PRAGMA user_version = 3")
    db.close()
    before = ledger_path(tmp_path).read_bytes()
    with pytest.raises(LedgerError) as caught:
        use(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/ledger.db was written by a newer malbox (schema 3, this one knows 1): "
        "use that one, or move the file away"
    )
    assert ledger_path(tmp_path).read_bytes() == before


@EACH
def test_another_s_database_is_refused(tmp_path: Path, use: Callable[[Path], None]) -> None:
    db = sqlite3.connect(ledger_path(tmp_path))
    db.execute("CREATE TABLE tasks (a)")
    db.close()
    with pytest.raises(LedgerError, match=r"ledger\.db is a database, but none of malbox's: move the file away$"):
        use(tmp_path)


@EACH
def test_what_is_no_database_is_refused(tmp_path: Path, use: Callable[[Path], None]) -> None:
    ledger_path(tmp_path).write_bytes(b"some text that is long enough" * 100)
    with pytest.raises(LedgerError, match=r"ledger\.db is no ledger, nor any other database: move the file away$"):
        use(tmp_path)


@EACH
def test_a_damaged_one_is_told_of(tmp_path: Path, use: Callable[[Path], None]) -> None:
    open_and_make(tmp_path)
    with ledger_path(tmp_path).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    with pytest.raises(LedgerError, match=r"is damaged .* move it away with its -wal and -shm"):
        use(tmp_path)


@EACH
def test_a_folder_in_its_place_is_told_of(tmp_path: Path, use: Callable[[Path], None]) -> None:
    ledger_path(tmp_path).mkdir()
    with pytest.raises(LedgerError, match=r"^cannot (read|open|use) the ledger "):
        use(tmp_path)


def test_an_older_one_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_and_make(tmp_path)
    monkeypatch.setattr(ledger_schema, "MIGRATIONS", (*ledger_schema.MIGRATIONS, "CREATE TABLE more (a);\n"))
    monkeypatch.setattr(ledger_schema, "VERSION", 2)
    open_and_make(tmp_path)
    assert "more" in tables(tmp_path)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_and_make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ledger_schema, "MIGRATIONS", (*ledger_schema.MIGRATIONS, "CREATE TABLE more (a);\nNONSENSE;\n"))
        patch.setattr(ledger_schema, "VERSION", 2)
        with pytest.raises(LedgerError, match=re.escape('near "NONSENSE": syntax error')):
            open_and_make(tmp_path)
    assert "more" not in tables(tmp_path)
    open_and_make(tmp_path)


@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_any_text_is_stored_and_names_come_back_as_they_were(text: str) -> None:
    db = sqlite3.connect(":memory:")
    (stored,) = db.execute("SELECT ?", (to_db(text),)).fetchone()
    db.close()
    assert isinstance(from_db(stored), str)
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:
        return  # it is no name
    assert from_db(stored) == os.fsdecode(name) == text
