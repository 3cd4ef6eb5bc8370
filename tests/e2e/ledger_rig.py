"""What the tests of the ledger share: tasks whose results can be foretold, and what the ledger is held to."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e_harness import PLUGINS, Place, eventually

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Submitting
from malbox_cli.control.records import Accepted, Ended, Refused
from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_rows import TaskRow
from malbox_cli.supervisor.ownership import Owner, find_owner

__all__ = ["MAKES", "Job", "check_results", "check_whole", "ended", "owner_of", "reading", "rows", "submit", "waiting"]

MAKES = {"path": str(PLUGINS / "makes")}
"""The table of a plugin that does what a `Job` asks for."""


@dataclass(frozen=True)
class Job:
    """What a task is asked for.

    Attributes:
        word: What no other has.
        json: How many small results.
        sizes: How many bytes each of the others has.
        more: What else its configuration says.
    """

    word: str
    json: int = 0
    sizes: tuple[int, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, str]:
        """What the plugin is told."""
        return {"word": self.word, "json": str(self.json), "sizes": ",".join(map(str, self.sizes)), **self.more}

    @property
    def contents(self) -> dict[str, bytes]:
        """The results that it has once it is completed, in their order."""
        found = {
            f"json-{number}": json.dumps({"word": self.word, "number": number}).encode() for number in range(self.json)
        }
        for number, size in enumerate(self.sizes):
            found[f"bytes-{number}"] = hashlib.shake_256(f"{self.word} {number}".encode()).digest(size)
        return found


def owner_of(manifest: Path) -> Owner:
    """Return a manifest's supervisor once there is one."""
    owner: Owner = eventually(lambda: find_owner(manifest.parent / ".malbox"), "there is a supervisor")
    return owner


def submit(client: ControlClient, request: Submitting) -> Accepted | Refused | Ended:
    """Send a task and return what it is answered, over a connection on which those before may be told of too.

    Raises:
        SupervisorLost: There was no answer.
    """
    before = client.submit(request)
    while True:
        for record in before:
            if isinstance(record, Accepted | Refused):
                return record
        before = client.records()


@contextmanager
def reading(manifest: Path) -> Iterator[LedgerReader]:
    """Open the ledger of a manifest's state folder for a block."""
    with LedgerReader(manifest.parent / ".malbox") as reader:
        yield reader


def rows(manifest: Path) -> dict[int, TaskRow]:
    """Return all tasks by number."""
    with reading(manifest) as reader:
        return {row.task: row for row in reader.tasks()}


def ended(manifest: Path, tasks: Sequence[int], patience: float = 15.0) -> list[TaskRow]:
    """Return tasks once they have all ended."""
    with reading(manifest) as reader:

        def all_ended() -> list[TaskRow] | None:
            found = [reader.task(task) for task in tasks]
            return [row for row in found if row] if all(row and row.state.is_final for row in found) else None

        found: list[TaskRow] = eventually(all_ended, f"{tasks} have ended", patience)
        return found


def waiting(place: Place, manifest: Path, plugin: str, count: int, more: Mapping[str, str] | None = None) -> list[int]:
    """Send so many tasks that wait until the file `until` is there, and return their numbers once they are taken."""
    sample = place.folder / "sample"
    if not sample.exists():  # one that is written again has changed
        place.sample()
    until = str(place.folder / "until")
    numbers = []
    with ControlClient(owner_of(manifest)) as client:
        for number in range(count):
            config = {**Job(f"{plugin}-{number}", json=1).config, "until": until, **(more or {})}
            answer = submit(client, Submitting(plugin, str(sample), config, detach=True))
            assert isinstance(answer, Accepted), answer
            numbers.append(answer.task)
    return numbers


def check_results(reader: LedgerReader, row: TaskRow, job: Job) -> None:
    """Fail unless a task that was completed has exactly the results of its job, in the ledger and in files."""
    found = reader.results(row.task)
    assert [(each.attempt, each.number, each.name) for each in found] == [
        (row.attempts, number, name) for number, name in enumerate(job.contents, 1)
    ], (row, found)
    for each, data in zip(found, job.contents.values(), strict=True):
        assert (each.size, each.sha256) == (len(data), hashlib.sha256(data).hexdigest()), (row, each)
        assert each.data is not None or each.path is not None, (row, each)
        if each.data is not None:
            assert each.data == data, (row, each)
        if each.path is not None:
            assert Path(each.path).read_bytes() == data, (row, each)
            assert Path(each.path).name == each.sha256, (row, each)


def check_whole(place: Place, manifest: Path) -> None:
    """Fail unless the ledger is whole, and says to anybody who asks it without us what it says to us."""
    ours = rows(manifest)
    listed = place.malbox("tasks", "-f", manifest, "--json", "-n", "0")
    assert listed.code == 0, listed
    with closing(sqlite3.connect(manifest.parent / ".malbox" / "ledger.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        theirs = db.execute("SELECT task, state, sha256, error, partial FROM tasks").fetchall()
        open_attempts = db.execute(
            "SELECT count(*) FROM attempts JOIN tasks USING (task) "
            "WHERE attempts.ended_at IS NULL AND state <> 'RUNNING'"
        ).fetchone()
        strays = db.execute("SELECT count(*) FROM results WHERE task NOT IN (SELECT task FROM tasks)").fetchone()
    expected = {row.task: (row.state.value, row.sha256, row.error, row.partial) for row in ours.values()}
    assert {row[0]: row[1:] for row in theirs} == expected
    keys = ("state", "sha256", "error", "partial")
    assert {row["task"]: tuple(row[key] for key in keys) for row in listed.records} == expected
    assert open_attempts == (0,)
    assert strays == (0,)
