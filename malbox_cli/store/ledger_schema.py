"""The ledger's file: its place, its tables, how an older one becomes one of today, and what is said of any other.

`docs/ledger.md` has the tables for those who ask them themselves.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from plugin_runtime.errors import MalboxError

__all__ = [
    "PAGE_BYTES",
    "VERSION",
    "LedgerError",
    "config_text",
    "connect",
    "explain",
    "from_db",
    "ledger_path",
    "make",
    "require_ours",
    "to_db",
    "translated",
]

FILE = "ledger.db"
APPLICATION_ID = 0x6D616C62  # "malb": what tells a ledger from any other database
BUSY_SECONDS = 1.0
"""How long a statement waits for a lock of another process before it fails."""
MAKE_SECONDS = 10.0
PAGE_BYTES = 2048
"""A short task changes eight pages, and each goes to disk as a whole: by itself its transaction took 25 to 70 µs less
than with 4,096. With 1,024 it would take some 15 to 60 less again, but reading a result of 64 KiB half as long again.
"""

_VERSION_1 = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('next_task', 1);

CREATE TABLE sessions (
    session INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    boot TEXT NOT NULL,
    opened_at REAL NOT NULL,
    closed_at REAL
);

CREATE TABLE tasks (
    task INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    plugin TEXT NOT NULL,
    version TEXT NOT NULL,
    sample TEXT NOT NULL,
    sha256 TEXT,
    size INTEGER,
    fingerprint TEXT,
    copy TEXT,
    config TEXT NOT NULL,
    timeout REAL,
    priority INTEGER NOT NULL,
    is_detached INTEGER NOT NULL,
    retry_of INTEGER,
    state TEXT NOT NULL,
    error TEXT,
    seconds REAL,
    partial INTEGER NOT NULL DEFAULT 0,
    added_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL
);
-- A task that moves from QUEUED to RUNNING and back changes none of these: only its end does.
CREATE INDEX tasks_open ON tasks (session) WHERE ended_at IS NULL;
CREATE INDEX tasks_by_state ON tasks (state) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_by_plugin ON tasks (plugin, state) WHERE ended_at IS NOT NULL;
CREATE INDEX tasks_by_sample ON tasks (sample);
CREATE INDEX tasks_by_sha256 ON tasks (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX tasks_by_time ON tasks (added_at);

CREATE TABLE attempts (
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker TEXT NOT NULL,
    began_at REAL NOT NULL,
    ended_at REAL,
    outcome TEXT,
    error TEXT,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;

CREATE TABLE notes (
    note INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX notes_by_task ON notes (task);

CREATE TABLE results (
    result INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    format TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    path TEXT,
    at REAL NOT NULL,
    data BLOB
);
CREATE UNIQUE INDEX results_by_task ON results (task, attempt, number);
CREATE INDEX results_by_sha256 ON results (sha256) WHERE path IS NOT NULL;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""What makes of a file of each version, from 0, which is an empty one, a file of the next."""
VERSION = len(MIGRATIONS)


class LedgerError(MalboxError):
    """The ledger cannot be used; the text says why, and what to do."""


def ledger_path(state_dir: Path) -> Path:
    """Return where the ledger of a state folder is."""
    return state_dir / FILE


def to_db(text: str) -> str | bytes:
    """Return text as it is stored: as the bytes that it stands for where it is a name that is no UTF-8."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            return text.encode(errors="surrogatepass")
    return text


def from_db(value: str | bytes) -> str:
    """Return stored text as it was."""
    return value if isinstance(value, str) else value.decode(errors="surrogateescape")


def config_text(config: Mapping[str, str]) -> str:
    """Return a configuration as it is stored: the same text for the same settings, in whatever order."""
    return json.dumps(dict(config), sort_keys=True, separators=(",", ":"))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises in the block as an error that says what is wrong with the file.

    Raises:
        LedgerError: Instead of any error of SQLite.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(explain(path, error)) from error


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that writes; the file is made, 0600, if it is not there. Transactions are up to the caller.

    Raises:
        LedgerError: It cannot be opened.
    """
    try:
        # Only where it is not there: closing it takes the locks that another connection of this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise LedgerError(f"cannot open the ledger {path}: {error.strerror}") from error
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            # A commit is on disk when it returns; without FULL it would be only at the next checkpoint.
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
    return db


def make(db: sqlite3.Connection, path: Path) -> None:
    """Bring a file to today's version, whatever it was, an empty one too; two processes may do that at once.

    Raises:
        LedgerError: It is a newer version's, or something else, or broken, or cannot be written to.
    """
    with translated(path):
        if not require_ours(db, path):
            # Both work before the first table only.
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _use_wal(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            require_ours(db, path)
            for step in MIGRATIONS[_pragma(db, "user_version") :]:
                for statement in _statements(step):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def require_ours(db: sqlite3.Connection, path: Path) -> bool:
    """Return whether a file is a ledger of a version that is known, False for an empty one.

    Raises:
        LedgerError: It is a newer version's or something else.
        sqlite3.Error: It is no database, or broken.
    """
    version = _pragma(db, "user_version")
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not version and not tables:
        return False
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise LedgerError(f"{path} is a database, but none of malbox's: move the file away")
    if version > VERSION:
        raise LedgerError(
            f"{path} was written by a newer malbox (schema {version}, this one knows {VERSION}): "
            "use that one, or move the file away"
        )
    return True


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, which waits for no lock by itself where two processes do it at once."""
    give_up_at = time.monotonic() + MAKE_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _statements(script: str) -> Iterator[str]:
    """Yield a script's statements: `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def explain(path: Path, error: sqlite3.Error) -> str:
    """Return what is wrong with a ledger, and what to do."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is no ledger, nor any other database: move the file away"
        case sqlite3.SQLITE_CORRUPT:
            return (
                f"the ledger {path} is damaged ({error}): move it away with its -wal and -shm, "
                f"and get what can be read with `sqlite3 {path.name} .recover`"
            )
        case sqlite3.SQLITE_FULL:
            return f"cannot write the ledger {path}: there is no space left on its disk"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"cannot use the ledger {path}: another process keeps it locked"
        case sqlite3.SQLITE_READONLY:
            return f"cannot use the ledger {path}: it is read-only for this user"
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot open the ledger {path}: it cannot be read, or its folder cannot be written to"
        case _:
            return f"cannot use the ledger {path}: {error}"
