"""`malbox send-task`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import (
    json_option,
    locate,
    manifest_option,
    owner_of,
    require_plugins,
    sample_path,
    settings_option,
    timeout_option,
)

if TYPE_CHECKING:
    from malbox_cli.control.client import ControlClient
    from malbox_cli.control.messages import Submitting
    from malbox_cli.control.records import Record
    from malbox_cli.output.printer import Printer

__all__ = ["command"]

EXIT_CODES = {"completed": 0, "failed": 1, "canceled": 1, "timeout": 124}
EXIT_INTERRUPTED = 130


@click.command(epilog="Example: malbox send-task file-info /bin/ls --set min_string=8")
@manifest_option
@settings_option
@timeout_option("End the task after this time.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Put the results there too.")
@json_option("Print one JSON object a line, as it happens.")
@click.argument("plugin")
@click.argument("sample")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    settings: dict[str, str],
    timeout: float | None,
    output: Path | None,
    plugin: str,
    sample: str,
    *,
    as_json: bool,
) -> None:
    """Give one SAMPLE to a PLUGIN of a running supervisor, and show progress and results as they come.

    Ctrl-C cancels the task. Ends with 0 if the task was completed, 1 if it failed, 124 if its time was over.
    """
    from malbox_cli.control.client import ControlClient
    from malbox_cli.control.messages import Submitting
    from malbox_cli.output.printer import JsonPrinter, TextPrinter

    manifest = locate(manifest_path)
    require_plugins(manifest.path, [plugin], manifest.plugin_ids)
    request = Submitting(plugin, sample_path(sample), settings, timeout)
    with ControlClient(owner_of(manifest)) as client:
        client.status()  # one that does not answer is told of here: how long a task takes to begin is not known
        printer: Printer = JsonPrinter() if as_json else TextPrinter()
        try:
            code = _stream(client, request, printer, output)
        finally:
            printer.close()
    ctx.exit(code)


def _stream(client: "ControlClient", request: "Submitting", printer: "Printer", output: Path | None) -> int:
    from malbox_cli.control.records import Accepted, Ended
    from malbox_cli.output.printer import save_results

    take = printer.take if output is None else save_results(output, printer.take)
    records = client.submit(request)
    task: int | None = None
    interrupted = False
    last: Record | None = None
    while True:
        try:
            for record in records:
                last = record
                if isinstance(record, Accepted):
                    task = record.task
                take(record)
            break
        except KeyboardInterrupt:
            if interrupted or task is None:
                raise  # the connection is closed, which cancels the task too
            interrupted = True
            client.cancel(task)
            records = client.records()
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_CODES[last.outcome.value] if isinstance(last, Ended) else 1
