"""`malbox stop`."""

from pathlib import Path

import click

from malbox_cli.commands.changing import change
from malbox_cli.commands.common import manifest_option, timeout_option

__all__ = ["command"]


@click.command(epilog="Example: malbox stop 'yara-*'")
@manifest_option
@timeout_option("Stop waiting after this time.")
@click.argument("plugins", nargs=-1, required=True, metavar="PLUGIN...")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, plugins: tuple[str, ...], timeout: float | None) -> None:
    """Stop plugins of a running supervisor, and wait until they have ended.

    They stay stopped until `malbox start`. What waits in their queues fails.

    A PLUGIN may be a pattern, such as 'yara-*'.
    """
    change(ctx, "stop", manifest_path, plugins, timeout)
