"""`malbox run`."""

from pathlib import Path

import click

from malbox_cli.commands.common import (
    chosen,
    json_option,
    load,
    manifest_option,
    sample_path,
    settings_option,
    timeout_option,
    to_start,
    verbose_option,
)

__all__ = ["command"]


@click.command(epilog="Example: malbox run /bin/ls --plugin file-info --json")
@manifest_option
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Give them to this one only; may be repeated.")
@settings_option
@timeout_option("End each task after this time.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Put the results there too.")
@json_option("Print one JSON object a line, as it happens.")
@verbose_option
@click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    plugins: tuple[str, ...],
    settings: dict[str, str],
    timeout: float | None,
    output: Path | None,
    samples: tuple[str, ...],
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Start the plugins, give every SAMPLE to every one of them, show what they found, and stop them.

    No supervisor has to be running, and one that is stays as it is. Ends with 0 if every task was completed, 1 if one
    failed, 124 if the time of one was over.
    """
    from malbox_cli.output.printer import JsonPrinter, Printer, TextPrinter, save_results
    from malbox_cli.supervisor.console import Console
    from malbox_cli.supervisor.one_shot import run_once

    manifest = load(manifest_path)
    specs, given = to_start(manifest, plugins), chosen(manifest, plugins)
    paths = [sample_path(sample) for sample in samples]
    printer: Printer = JsonPrinter() if as_json else TextPrinter()
    console = Console(quiet=not verbose, stream=printer.stderr())
    take = printer.take if output is None else save_results(output, printer.take)
    try:
        code = run_once(
            manifest, specs, paths, console, take, given=given, config=settings, timeout=timeout, verbose=verbose
        )
    finally:
        console.close()  # first: taking the bars away erases what is printed at the same moment
        printer.close()
    ctx.exit(code)
