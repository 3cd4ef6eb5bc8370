"""`malbox start`."""

from pathlib import Path

import click

from malbox_cli.commands.changing import change
from malbox_cli.commands.common import manifest_option, timeout_option

__all__ = ["command"]


@click.command(epilog="Example: malbox start yara")
@manifest_option
@timeout_option("Stop waiting after this time.")
@click.argument("plugins", nargs=-1, required=True, metavar="PLUGIN...")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, plugins: tuple[str, ...], timeout: float | None) -> None:
    """Start plugins of a running supervisor, with those that they need, and wait until they are READY.

    One that was started too often begins anew. Ends with 1 if one of them fails.

    A PLUGIN may be a pattern, such as 'yara-*'.
    """
    change(ctx, "start", manifest_path, plugins, timeout)
