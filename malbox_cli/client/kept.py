"""What is kept of tasks, for programs and for the commands; no supervisor has to be running."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from malbox_cli.client.finding import ManifestPath, location_of
from malbox_cli.control.problems import NoSuchTask
from malbox_cli.control.records import Record, Result
from malbox_cli.control.replay import past_records, result_record
from malbox_cli.manifest.specs import Location
from malbox_cli.store.ledger_reader import LedgerReader
from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, ResultRow, TaskFilter, TaskRow
from malbox_cli.store.task_states import TaskState
from plugin_runtime.errors import MalboxError

__all__ = ["History", "KeptTask", "history", "missing_results", "open_ledger", "require_ledger", "task_in"]


@dataclass(frozen=True, slots=True)
class KeptTask:
    """Everything that is kept of a task.

    Attributes:
        task: What it is, how it stands and why.
        attempts: Its attempts, the first one first.
        notes: What was noted of it: warnings, and why it was tried again or cancelled.
        results: Its results, in the plugin's order, of all attempts.
    """

    task: TaskRow
    attempts: tuple[AttemptRow, ...]
    notes: tuple[NoteRow, ...]
    results: tuple[Result, ...]


class History:
    """The tasks of a manifest that were accepted, whether they wait, run or have ended.

        with history("plugins.toml") as tasks:
            for row in tasks.tasks(states=[TaskState.FAILED], limit=10):
                print(row.task, row.plugin, row.error)

    Each answer is what was on disk when it was asked for. Use it in one thread, and close it, or use it in a `with`.

    Args:
        location: The manifest's place.

    Raises:
        MalboxError: The manifest says that no tasks are kept.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._ledger = open_ledger(location)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the ledger's file."""
        self._ledger.close()

    def tasks(
        self,
        *,
        states: Collection[TaskState] = (),
        plugins: Collection[str] = (),
        sample: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[TaskRow]:
        """Return tasks, the newest first.

            failed = tasks.tasks(states=[TaskState.FAILED, TaskState.TIMEOUT], plugins=["yara"])

        Args:
            states: In one of these; none for all.
            plugins: Of one of these, by their names in the manifest.
            sample: Of this absolute path, or of a content whose sha256 begins so, with 6 digits or more.
            since: Not older than this, in seconds since the epoch.
            before: With numbers below this: to go on where a list that was limited ended.
            limit: No more than so many.

        Raises:
            MalboxError: The ledger cannot be read; so for all others here.
        """
        which = TaskFilter(frozenset(states), frozenset(plugins), sample, since=since, limit=limit, before=before)
        return self._ledger.tasks(which)

    def task(self, number: int) -> TaskRow:
        """Return one task.

            state = tasks.task(12).state

        Raises:
            NoSuchTask: There is none of that number.
        """
        return task_in(self._ledger, self._location, number)

    def show(self, number: int) -> KeptTask:
        """Return everything about a task.

            for attempt in tasks.show(12).attempts:
                print(attempt.attempt, attempt.outcome, attempt.error)

        Raises:
            NoSuchTask: There is none of that number.
        """
        task = self.task(number)
        attempts, notes = self._ledger.attempts(number), self._ledger.notes(number)
        results = tuple(result_record(number, row) for row in self._ledger.results(number))
        return KeptTask(task, tuple(attempts), tuple(notes), results)

    def results(self, number: int) -> list[Result]:
        """Return the results of a task's last attempt; those of attempts before it are void.

            names = [result.name for result in tasks.results(12)]

        Raises:
            NoSuchTask: There is no task of that number.
        """
        last = self.task(number).attempts
        return [result_record(number, row) for row in self._ledger.results(number) if row.attempt == last]

    def records(self, number: int) -> Iterator[Record]:
        """Yield the stream of a task as it was told, without its progress; up to now, if it has not ended.

            *_, last = tasks.records(12)

        Raises:
            NoSuchTask: There is no task of that number.
        """
        task = self.task(number)
        yield from past_records(task, *self.rows_of(number))

    def rows_of(self, number: int) -> tuple[list[NoteRow], list[ResultRow]]:
        """Return what was noted of a task, and its results as they are kept.

        Example:
            notes, results = tasks.rows_of(12)
        """
        return self._ledger.notes(number), self._ledger.results(number)


def history(manifest: ManifestPath | None = None) -> History:
    """Return what is kept of a manifest's tasks.

        with history() as tasks:
            print(len(tasks.tasks()))

    Args:
        manifest: Its file; None for the one that `MALBOX_MANIFEST` names, else ``plugins.toml``.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
        MalboxError: It says that no tasks are kept.
    """
    return History(location_of(manifest))


def require_ledger(manifest: Location) -> None:
    """Check that a manifest's tasks are kept.

    Raises:
        MalboxError: They are not.
    """
    if not manifest.ledger:
        raise MalboxError(
            f"{manifest.path} keeps no ledger: [malbox] says `ledger = false`, so nothing is known of tasks that ended"
        )


def open_ledger(manifest: Location) -> LedgerReader:
    """Return a reader of the manifest's ledger.

    Raises:
        MalboxError: Its tasks are not kept.
    """
    require_ledger(manifest)
    return LedgerReader(manifest.state_dir)


def task_in(ledger: LedgerReader, manifest: Location, task: int) -> TaskRow:
    """Return a task.

    Raises:
        NoSuchTask: There is none of that number.
        LedgerError: The ledger cannot be read.
    """
    row = ledger.task(task)
    if row is None:
        newest = ledger.tasks(TaskFilter(limit=1))
        there = f"the newest is task {newest[0].task}" if newest else f"no task was kept yet in {manifest.state_dir}"
        raise NoSuchTask(f"there is no task {task}: {there}")
    return row


def missing_results(paths: Iterable[str | None]) -> list[str]:
    """Return which of the files of results are not there any more."""
    return [path for path in paths if path is not None and not Path(path).exists()]
