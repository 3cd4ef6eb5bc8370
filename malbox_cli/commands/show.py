"""`malbox show`."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import FollowCommand, json_option, locate, manifest_option
from malbox_cli.commands.keeping import task_argument

if TYPE_CHECKING:
    from rich.console import Console

    from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, ResultRow, TaskRow

__all__ = ["command"]


@click.command(cls=FollowCommand, epilog="Example: malbox show 12 --json | jq '.results[].name'")
@manifest_option
@click.option("--follow", is_flag=True, help="Show its stream, as send-task does, until its end; -f does the same.")
@json_option("Print one JSON object; with --follow one a line, as it happens.")
@task_argument
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, task: int, *, follow: bool, as_json: bool) -> None:
    """Show everything about a TASK: how it stands and why, its sample, its attempts and its results.

    No supervisor has to be running, but to follow a task that has not ended. With --follow it ends as send-task does:
    with 0 if the task was completed, 1 if it failed, 124 if its time was over. Ctrl-C ends this command, not the task.
    """
    from malbox_cli.client.kept import open_ledger, task_in

    manifest = locate(manifest_path)
    with open_ledger(manifest) as ledger:
        row = task_in(ledger, manifest, task)
        if follow:
            from malbox_cli.commands.pursuing import pursue

            ctx.exit(pursue(ledger, manifest, row, as_json=as_json))
        attempts, notes, results = ledger.attempts(task), ledger.notes(task), ledger.results(task)
    if as_json:
        _print_json(row, attempts, notes, results)
    else:
        _print_text(row, attempts, notes, results)


def _print_json(
    row: "TaskRow", attempts: "list[AttemptRow]", notes: "list[NoteRow]", results: "list[ResultRow]"
) -> None:
    from malbox_cli.control.records import escape_surrogates
    from malbox_cli.output.task_text import whole_fields

    text = escape_surrogates(json.dumps(whole_fields(row, attempts, notes), ensure_ascii=False))
    out = sys.stdout.buffer
    out.write(f'{text[:-1]}, "results": ['.encode())
    for number, line in enumerate(_result_lines(row.task, results)):
        out.write(b", " * bool(number) + line.encode())
    out.write(b"]}\n")
    out.flush()


def _result_lines(task: int, results: "list[ResultRow]") -> Iterator[str]:
    """Yield each result as it stands in the stream: JSON with its data, where that is still there."""
    from malbox_cli.client.kept import missing_results
    from malbox_cli.control.records import to_line
    from malbox_cli.control.replay import result_record
    from malbox_cli.output.printer import with_data

    for result in results:
        record = result_record(task, result)
        yield to_line(record if missing_results([record.path]) else with_data(record))


def _print_text(
    row: "TaskRow", attempts: "list[AttemptRow]", notes: "list[NoteRow]", results: "list[ResultRow]"
) -> None:
    from rich.console import Console

    from malbox_cli.output.task_text import STYLES, detail_lines

    out = Console(highlight=False, soft_wrap=True, emoji=False)
    out.print(f"task {row.task}  {row.state.value}{_how_long(row)}", style=STYLES[row.state], markup=False)
    for line in detail_lines(row, attempts, notes, time.time()):
        out.print(line, markup=False)
    if results:
        partial = " (partial: the task did not end well)" if row.partial else ""
        out.print(f"results{partial}", markup=False)
        _print_results(row, results, out)


def _how_long(row: "TaskRow") -> str:
    from malbox_cli.output.text import human_duration

    after = "" if row.seconds is None else f" after {human_duration(row.seconds)}"
    return after if row.attempts < 2 else f"{after}, in {row.attempts} attempts"


def _print_results(row: "TaskRow", results: "list[ResultRow]", out: "Console") -> None:
    from malbox_cli.client.kept import missing_results
    from malbox_cli.control.replay import result_record
    from malbox_cli.output.printer import TextPrinter
    from malbox_cli.output.text import human_size, one_line

    printer = TextPrinter(with_bars=False)
    for result in results:
        record = result_record(row.task, result)
        title = f"→ {one_line(result.name)}"
        if gone := missing_results([record.path]):
            text = f"{title}: {human_size(result.size)}, not there any more: {one_line(gone[0])}"
            out.print(text, style="yellow", markup=False)
        else:
            printer.show_result(title, record)
