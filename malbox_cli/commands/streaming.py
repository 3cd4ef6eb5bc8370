"""Showing the stream of a task until its end."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from malbox_cli.client.plain import Client
    from malbox_cli.control.messages import Submitting
    from malbox_cli.control.records import Record
    from malbox_cli.output.printer import Printer

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_TIMEOUT",
    "accepted",
    "detach",
    "exit_code",
    "output_option",
    "printer_for",
    "submit",
    "worst_code",
]

EXIT_CODES = {"completed": 0, "failed": 1, "canceled": 1, "timeout": 124}
EXIT_INTERRUPTED = 130
EXIT_TIMEOUT = 124

output_option = click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", help="Put the results there too."
)


def printer_for(*, as_json: bool) -> "Printer":
    """Return what shows records."""
    from malbox_cli.output.printer import JsonPrinter, TextPrinter

    return JsonPrinter() if as_json else TextPrinter()


def exit_code(last: "Record | None") -> int:
    """Return the exit code of a stream that ended with this record."""
    from malbox_cli.control.records import Ended

    return EXIT_CODES[last.outcome.value] if isinstance(last, Ended) else 1


def submit(client: "Client", request: "Submitting", printer: "Printer", output: Path | None) -> int:
    """Send a task, show its stream and return its exit code. Ctrl-C cancels the task, and shows what comes of that.

    Raises:
        KeyboardInterrupt: Ctrl-C came a second time, or before the task was accepted; the task is cancelled too.
        MalboxError: The supervisor was lost, or a result cannot be written.
    """
    from malbox_cli.control.problems import TaskRefused
    from malbox_cli.output.printer import save_results

    take = printer.take if output is None else save_results(output, printer.take)
    try:
        task = client.send(request)
    except TaskRefused as error:
        take(error.record)
        return exit_code(error.record)
    interrupted = False
    with task:  # whatever ends this before its end cancels it
        while True:
            try:
                for record in task:
                    take(record)
                break
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                task.cancel()
    return EXIT_INTERRUPTED if interrupted else exit_code(task.ended)


def accepted(client: "Client", request: "Submitting") -> "Iterator[Record]":
    """Send a task, and yield its stream, which is one record where it was refused.

    Raises:
        MalboxError: The supervisor was lost.
    """
    from malbox_cli.control.problems import TaskRefused

    try:
        task = client.send(request)
    except TaskRefused as error:
        yield error.record
        return
    with task:
        yield from task


def detach(records: "Iterable[Record]", *, as_json: bool) -> int:
    """Wait until a task that goes on by itself was accepted, print its number, and return the exit code.

    Raises:
        MalboxError: The supervisor was lost.
    """
    from malbox_cli.control.records import Accepted, Ended, Refused, to_line
    from malbox_cli.output.text import one_line

    try:
        for record in records:
            if isinstance(record, Accepted | Ended | Refused) and as_json:
                click.echo(to_line(record))
            match record:
                case Accepted():
                    if not as_json:
                        click.echo(record.task)
                    return 0
                case Refused():
                    click.echo(f"malbox: {record.plugin} refused the task: {one_line(record.error)}", err=True)
                case Ended():
                    why = one_line(record.error or "")
                    click.echo(f"malbox: task {record.task} {record.outcome.value}: {why}", err=True)
    except KeyboardInterrupt:
        click.echo("malbox: interrupted before the task was accepted; `malbox tasks` says whether it was", err=True)
        return EXIT_INTERRUPTED
    return 1


def worst_code(codes: Iterable[int]) -> int:
    """Return the exit code of several tasks: interrupted, failed, out of time, or 0 where all were completed."""
    found = set(codes)
    return next((code for code in (EXIT_INTERRUPTED, 1, EXIT_TIMEOUT) if code in found), 0)
