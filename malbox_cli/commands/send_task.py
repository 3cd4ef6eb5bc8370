"""`malbox send-task`."""

from pathlib import Path

import click

from malbox_cli.commands.common import (
    client_of,
    json_option,
    locate,
    manifest_option,
    require_plugins,
    sample_path,
    settings_option,
    timeout_option,
)
from malbox_cli.commands.streaming import accepted, detach, output_option, printer_for, submit

__all__ = ["command"]


def _priority(ctx: click.Context, parameter: click.Parameter, priority: int) -> int:
    from malbox_cli.control.messages import MAX_PRIORITY

    if abs(priority) > MAX_PRIORITY:
        raise click.BadParameter(f"{priority} is not from -{MAX_PRIORITY} to {MAX_PRIORITY}", ctx, parameter)
    return priority


@click.command(epilog="Example: malbox send-task file-info /bin/ls --set min_string=8")
@manifest_option
@settings_option
@timeout_option("End each attempt at the task after this time.")
@click.option(
    "--priority",
    type=int,
    default=0,
    show_default=True,
    callback=_priority,
    metavar="N",
    help="The higher, the earlier among those that wait; from -1000 to 1000.",
)
@click.option("--wait", is_flag=True, help="Wait for room in the plugin's queue where it is full.")
@click.option("--detach", "detached", is_flag=True, help="Print the task's number once it is accepted, and leave it.")
@click.option("--cached", is_flag=True, help="Show what the same task found before, if it was completed.")
@output_option
@json_option("Print one JSON object a line, as it happens.")
@click.argument("plugin")
@click.argument("sample")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    settings: dict[str, str],
    timeout: float | None,
    priority: int,
    output: Path | None,
    plugin: str,
    sample: str,
    *,
    wait: bool,
    detached: bool,
    cached: bool,
    as_json: bool,
) -> None:
    """Give one SAMPLE to a PLUGIN of a running supervisor, and show progress and results as they come.

    Ctrl-C cancels the task, and so does the end of this command, but for a task that was detached. Ends with 0 if the
    task was completed, 1 if it failed, 124 if its time was over; with --detach with 0 once it is accepted.

    With --cached nothing runs where the same version of the plugin, with the same configuration, has completed a task
    on a sample of the same content: its results are shown again.
    """
    from malbox_cli.control.messages import Submitting

    if detached and output is not None:
        raise click.UsageError("--detach and --output exclude each other: nobody waits for the results")
    manifest = locate(manifest_path)
    require_plugins(manifest.path, [plugin], manifest.plugin_ids)
    request = Submitting(plugin, sample_path(sample), settings, timeout, priority, detached, wait)
    with client_of(manifest) as client:
        status = (
            client.status()
        )  # one that does not answer is told of here: how long a task takes to begin is not known
        if cached:
            from malbox_cli.commands.caching import find_completed, show_completed

            found = find_completed(manifest, status, request)
            if found is not None:
                ctx.exit(show_completed(manifest, found, output, detached=detached, as_json=as_json))
        if detached:
            ctx.exit(detach(accepted(client, request), as_json=as_json))
        printer = printer_for(as_json=as_json)
        try:
            code = submit(client, request, printer, output)
        finally:
            printer.close()
    ctx.exit(code)
