"""A ledger as a supervisor leaves it, with the rows that a test names."""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from malbox_cli.store.ledger_reader import config_text
from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, ResultRow, TaskRow
from malbox_cli.store.ledger_schema import connect, ledger_path, make, to_db
from malbox_cli.store.task_states import TaskState

SHA256 = hashlib.sha256(b"a sample").hexdigest()
NOW = time.time()
LS = TaskRow(
    task=1,
    plugin="echo",
    version="0.1.0",
    sample="/bin/ls",
    sha256=SHA256,
    size=8,
    config={},
    timeout=None,
    priority=0,
    is_detached=False,
    retry_of=None,
    state=TaskState.COMPLETED,
    error=None,
    seconds=0.25,
    partial=False,
    added_at=NOW - 60,
    started_at=NOW - 59,
    ended_at=NOW - 58,
    attempts=1,
    results=0,
)
"""A task that went well a minute ago."""


def a_task(task: int, **fields: Any) -> TaskRow:
    """Return a task that differs from one that went well; one that is open has no end."""
    row = replace(LS, task=task, **fields)
    if not row.state.is_final:
        row = replace(row, ended_at=None, seconds=None)
    return row


def json_result(number: int, name: str, value: object, attempt: int = 1) -> ResultRow:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    return ResultRow(attempt, number, name, "json", len(data), digest, data, None, NOW - 58.5 + number / 1000)


def file_result(number: int, name: str, path: Path, form: str = "bytes") -> ResultRow:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    at = NOW - 58.5 + number / 1000
    return ResultRow(1, number, name, form, len(data), digest, None, str(path), at)  # type: ignore[arg-type]


class KeptTasks:
    """The ledger of a state folder, to be filled."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(mode=0o700, exist_ok=True)
        self.path = ledger_path(state_dir)

    def add(
        self,
        *tasks: TaskRow,
        attempts: Sequence[AttemptRow] = (),
        notes: Sequence[NoteRow] = (),
        results: Sequence[ResultRow] = (),
    ) -> None:
        """Add tasks; attempts, notes and results are those of each of them."""
        with closing(connect(self.path)) as db:
            make(db, self.path)
            for row in tasks:
                number = row.task
                self._insert(db, "tasks", self._columns(row))
                for attempt in attempts:
                    fields = {name: getattr(attempt, name) for name in AttemptRow.__slots__}
                    self._insert(db, "attempts", {"task": number, **fields})
                for note in notes:
                    self._insert(db, "notes", {"task": number, **{n: getattr(note, n) for n in NoteRow.__slots__}})
                for result in results:
                    fields = {name: getattr(result, name) for name in ResultRow.__slots__}
                    self._insert(db, "results", {"task": number, **fields})

    def make_newer(self) -> None:
        """Make it a ledger of a version that is not known yet."""
        with closing(connect(self.path)) as db:
            make(db, self.path)
            db.execute("PRAGMA user_version = 1000")

    @staticmethod
    def _columns(row: TaskRow) -> dict[str, object]:
        columns = {name: getattr(row, name) for name in TaskRow.__slots__ if name not in ("attempts", "results")}
        columns |= {"state": row.state.value, "config": config_text(row.config), "session": 1}
        return {**columns, "sample": to_db(row.sample)}

    @staticmethod
    def _insert(db: Any, table: str, columns: dict[str, object]) -> None:
        marks = ",".join("?" * len(columns))
        db.execute(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", tuple(columns.values()))
