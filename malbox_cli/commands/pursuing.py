"""The stream of a task from its beginning to its end, whenever one begins to look."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import client_of
from malbox_cli.commands.streaming import EXIT_INTERRUPTED, exit_code, printer_for

if TYPE_CHECKING:
    from malbox_cli.control.records import Record
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_reader import LedgerReader
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = ["pursue"]


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
    from malbox_cli.control.problems import NoSupervisor
    from malbox_cli.control.replay import past_records

    if task.state.is_final:
        yield from past_records(task, ledger.notes(task.task), ledger.results(task.task))
        return
    try:
        client = client_of(manifest)
    except NoSupervisor as error:
        raise NoSupervisor(f"task {task.task} is {task.state.value}: {error}") from error
    with client:
        yield from client.follow(task.task)
