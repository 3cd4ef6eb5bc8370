"""`malbox up`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import load, manifest_option, to_start, verbose_option

if TYPE_CHECKING:
    from malbox_cli.supervisor.verdict import ExitOn

if TYPE_CHECKING:
    from malbox_cli.supervisor.console import LogFormat

__all__ = ["command"]


@click.command(epilog="Example: malbox up -f plugins.toml")
@manifest_option
@click.option(
    "--exit-on",
    type=click.Choice(["failure", "any", "never"]),
    help="Stop all once a plugin has failed, or any has ended, or not even when none runs any more.",
)
@verbose_option
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="JSON is one object a line.")
@click.option("--raw", is_flag=True, help="Show what the plugins print as it is, terminal escapes included.")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    plugins: tuple[str, ...],
    exit_on: "ExitOn | None",
    log_format: "LogFormat",
    *,
    raw: bool,
    verbose: bool,
) -> None:
    """Run the plugins of a manifest, or only those named and what they come after, in the foreground until stopped.

    The first Ctrl-C (or SIGTERM, SIGHUP) stops them in order, the second kills them, the third ends malbox alone.
    """
    from malbox_cli.supervisor.console import Console
    from malbox_cli.supervisor.serve import serve

    if raw and log_format == "json":
        raise click.UsageError("--raw and --log-format json exclude each other: JSON has its own escapes")
    manifest = load(manifest_path)
    console = Console(quiet=False, log_format=log_format, raw=raw, plugins=[plugin.id for plugin in manifest.plugins])
    try:
        specs = to_start(manifest, plugins)
        code = serve(manifest, specs, console, chosen=plugins, exit_on=exit_on, verbose=verbose)
    finally:
        console.close()
    ctx.exit(code)
