"""The stream of a task from its beginning to its end, whenever one begins to look."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import NoSupervisor, owner_of
from malbox_cli.commands.keeping import task_in
from malbox_cli.commands.streaming import EXIT_INTERRUPTED, exit_code, printer_for

if TYPE_CHECKING:
    from malbox_cli.control.records import Record
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_reader import LedgerReader
    from malbox_cli.store.ledger_rows import NoteRow, ResultRow, TaskRow

__all__ = ["pursue", "without_the_past"]


def pursue(ledger: "LedgerReader", manifest: "Location", task: "TaskRow", *, as_json: bool) -> int:
    """Show the stream of a task until its end; return its exit code. Ctrl-C ends that, and the task goes on.

    Raises:
        NoSupervisor: It has not ended, and nobody works on it.
        MalboxError: The supervisor does not have it or was lost, or the ledger or a result cannot be read.
    """
    printer = printer_for(as_json=as_json)
    last: Record | None = None
    try:
        for record in _records(ledger, manifest, task):
            last = record
            printer.take(record)
    except KeyboardInterrupt:
        printer.close()  # first: taking bars away erases what is printed at the same moment
        click.echo(f"malbox: task {task.task} goes on", err=True)
        return EXIT_INTERRUPTED
    finally:
        printer.close()
    return exit_code(last)


def _records(ledger: "LedgerReader", manifest: "Location", task: "TaskRow") -> "Iterator[Record]":
    from malbox_cli.control.client import ControlClient, RequestDenied
    from malbox_cli.control.replay import past_records

    if task.state.is_final:
        yield from past_records(task, ledger.notes(task.task), ledger.results(task.task))
        return
    try:
        owner = owner_of(manifest)
    except NoSupervisor as error:
        raise NoSupervisor(f"task {task.task} is {task.state.value}: {error}") from error
    with ControlClient(owner) as client:
        asked_at = time.time()
        denied: RequestDenied | None = None
        try:
            client.follow(task.task)
        except RequestDenied as error:
            denied = error
        # What comes from now on is told; what came before is read, some of it twice.
        task = task_in(ledger, manifest, task.task)
        if denied is not None and not task.state.is_final:
            raise denied
        notes, results = ledger.notes(task.task), ledger.results(task.task)
        yield from past_records(task, notes, results)
        if not task.state.is_final:
            recent = [note for note in notes if note.at >= asked_at]
            yield from without_the_past(client.records(), task, recent, results)


def without_the_past(
    records: "Iterable[Record]", task: "TaskRow", recent: "Iterable[NoteRow]", results: "Iterable[ResultRow]"
) -> "Iterator[Record]":
    """Yield the records of a stream that the ledger did not have when it was read.

    Args:
        records: What is told.
        task: What the ledger had.
        recent: The notes that were made since what is told began.
        results: The results that it had.
    """
    from malbox_cli.control.records import Accepted, Result, TaskWarning

    warned = Counter(note.text for note in recent if note.kind == "warning")
    had = {(result.attempt, result.number) for result in results}
    for record in records:
        match record:
            case Accepted() if task.sha256 is not None:
                continue
            case Result() if (record.attempt, record.number) in had:
                continue
            case TaskWarning() if warned[record.message]:
                warned[record.message] -= 1
                continue
        yield record
