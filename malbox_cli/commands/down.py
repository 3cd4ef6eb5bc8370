"""`malbox down`."""

from pathlib import Path

import click

from malbox_cli.commands.common import locate, manifest_option, owner_of, timeout_option

__all__ = ["command"]

EXIT_TIMEOUT = 124


@click.command(epilog="Example: malbox down -f plugins.toml")
@manifest_option
@timeout_option("Stop waiting after this time.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, timeout: float | None) -> None:
    """Stop the supervisor of a manifest, and wait until nothing of it is left."""
    from malbox_cli.control.client import ControlClient

    owner = owner_of(locate(manifest_path))
    with ControlClient(owner) as client:
        stopped = client.stop(timeout)
    if not stopped:
        click.echo(f"malbox: the supervisor (process {owner.pid}) still runs after {timeout:g} s", err=True)
        ctx.exit(EXIT_TIMEOUT)
    click.echo(f"the supervisor (process {owner.pid}) has stopped", err=True)
