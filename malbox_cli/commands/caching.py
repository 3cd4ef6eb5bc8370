"""A task that need not run, because the same was completed before."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import load
from malbox_cli.commands.keeping import digest_of
from malbox_cli.commands.streaming import printer_for

if TYPE_CHECKING:
    from malbox_cli.control.messages import Submitting, SupervisorStatus
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = ["find_completed", "show_completed"]


def find_completed(manifest: "Location", status: "SupervisorStatus", request: "Submitting") -> "TaskRow | None":
    """Return the newest task that did what is asked for, with all of its results still there; None: it has to run.

    Args:
        manifest: Where the ledger is; it is read again for the plugin's configuration.
        status: Has the version of the plugin that runs.
        request: What is asked for.

    Raises:
        ManifestError: The manifest is not right any more.
        MalboxError: The manifest keeps no ledger, or it or the sample cannot be read.
    """
    from malbox_cli.client.kept import missing_results, open_ledger

    members = [spec for spec in load(manifest.path).plugins if spec.pool == request.plugin]
    ids = {spec.id for spec in members}
    versions = {plugin.version for plugin in status.plugins if plugin.id in ids}
    if not members or len(versions) != 1:  # instances that were started at different times may differ for a while
        return None
    config = {**members[0].config, **request.config}
    with open_ledger(manifest) as ledger:
        found = ledger.find_completed(request.plugin, versions.pop(), config, digest_of(request.sample))
        if found is None or missing_results(row.path for row in ledger.results(found.task)):
            return None
        return found


def show_completed(manifest: "Location", task: "TaskRow", output: Path | None, *, detached: bool, as_json: bool) -> int:
    """Show the stream of a completed task as if it had run now; return the exit code.

    Raises:
        MalboxError: The ledger or a result cannot be read, or a result cannot be written.
    """
    from malbox_cli.client.kept import open_ledger
    from malbox_cli.commands.streaming import detach
    from malbox_cli.control.replay import past_records
    from malbox_cli.output.printer import save_results

    with open_ledger(manifest) as ledger:
        records = list(past_records(task, ledger.notes(task.task), ledger.results(task.task)))
    if not as_json:
        click.echo(f"malbox: task {task.task} has done the same before; nothing runs", err=True)
    if detached:
        return detach(records, as_json=as_json)
    printer = printer_for(as_json=as_json)
    take = printer.take if output is None else save_results(output, printer.take)
    try:
        for record in records:
            take(record)
    finally:
        printer.close()
    return 0
