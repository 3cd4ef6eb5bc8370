"""`malbox retry`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import client_of, json_option, locate, manifest_option, require_plugins
from malbox_cli.commands.keeping import digest_of, tasks_argument
from malbox_cli.commands.streaming import (
    EXIT_INTERRUPTED,
    accepted,
    detach,
    output_option,
    printer_for,
    submit,
    worst_code,
)
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.client.plain import Client
    from malbox_cli.control.messages import Submitting
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = ["command"]


@click.command(epilog="Example: malbox retry 12 --debug")
@manifest_option
@click.option("--force", is_flag=True, help="Also where the sample is another file than it was.")
@click.option("--detach", "detached", is_flag=True, help="Print the new tasks' numbers once accepted, and leave them.")
@click.option("--debug", is_flag=True, help="Run it here, in the plugin's program under pdb; no supervisor is needed.")
@output_option
@json_option("Print one JSON object a line, as it happens.")
@tasks_argument
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    tasks: tuple[int, ...],
    output: Path | None,
    *,
    force: bool,
    detached: bool,
    debug: bool,
    as_json: bool,
) -> None:
    """Send TASKs that have ended again, as new ones with the same sample, configuration, time limit and priority.

    They are shown as send-task shows them, one after the other; with --detach all are sent at once. Ends with 0 if all
    were completed, 1 if one failed, 124 if the time of one was over.

    With --debug one task runs in the foreground of this terminal, without any time limit: the debugger stops at the
    beginning of `on_task`, and again where it raises. Nothing of that is kept.
    """
    if debug and (detached or as_json or output is not None or len(tasks) > 1):
        raise click.UsageError("--debug takes one task, and neither --detach, --json nor --output")
    if detached and output is not None:
        raise click.UsageError("--detach and --output exclude each other: nobody waits for the results")
    from malbox_cli.client.kept import open_ledger, task_in

    manifest = locate(manifest_path)
    with open_ledger(manifest) as ledger:
        rows = [task_in(ledger, manifest, task) for task in tasks]
    require_plugins(manifest.path, [row.plugin for row in rows], manifest.plugin_ids)
    _check(rows, may_be_open=debug, force=force)
    if debug:
        from malbox_cli.commands.debugging import run_under_debugger

        run_under_debugger(manifest, rows[0])
    codes: list[int] = []
    with client_of(manifest) as client:
        for row in rows:
            codes.append(_send(client, _again(row, detached=detached), output, as_json=as_json))
            if codes[-1] == EXIT_INTERRUPTED:
                break
    ctx.exit(worst_code(codes))


def _check(rows: "list[TaskRow]", *, may_be_open: bool, force: bool) -> None:
    """Check that each task can be sent again; nothing is sent where one cannot.

    Raises:
        MalboxError: One is open, or its sample is gone or another.
    """
    problems = []
    for row in rows:
        if not row.state.is_final and not may_be_open:
            ending = f"only one that has ended can be retried; `malbox cancel {row.task}` ends it"
            problems.append(f"task {row.task} is {row.state.value}: {ending}")
        elif (change := _change_of_sample(row)) and not (force and os.path.isfile(row.sample)):
            forced = " (--force takes it as it is now)" if os.path.isfile(row.sample) else ""
            problems.append(f"task {row.task}: its sample {row.sample} {change}{forced}")
    if problems:
        raise MalboxError("\n".join(problems))


def _change_of_sample(row: "TaskRow") -> str:
    """Return what is wrong with a task's sample now, empty if nothing is."""
    try:
        size = os.stat(row.sample).st_size
    except FileNotFoundError:
        return "is not there any more"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if row.size is not None and size != row.size:
        return f"has changed since: it had {row.size} bytes, it has {size}"
    if row.sha256 is not None and (digest := digest_of(row.sample)) != row.sha256:
        return f"has changed since: its sha256 was {row.sha256}, it is {digest}"
    return ""


def _again(row: "TaskRow", *, detached: bool) -> "Submitting":
    from malbox_cli.control.messages import Submitting

    return Submitting(
        row.plugin, row.sample, row.config, row.timeout, row.priority, detach=detached, wait=True, retry_of=row.task
    )


def _send(client: "Client", request: "Submitting", output: Path | None, *, as_json: bool) -> int:
    client.status()  # one that does not answer is told of here, as by send-task
    if request.detach:
        return detach(accepted(client, request), as_json=as_json)
    printer = printer_for(as_json=as_json)
    try:
        return submit(client, request, printer, output)
    finally:
        printer.close()
