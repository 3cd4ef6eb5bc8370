"""`malbox down`."""

from pathlib import Path

import click

from malbox_cli.commands.common import client_of, locate, manifest_option, timeout_option

__all__ = ["command"]

EXIT_TIMEOUT = 124


@click.command(epilog="Example: malbox down -f plugins.toml")
@manifest_option
@timeout_option("Stop waiting after this time.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, timeout: float | None) -> None:
    """Stop the supervisor of a manifest, and wait until nothing of it is left."""
    with client_of(locate(manifest_path)) as client:
        stopped = client.shut_down(timeout)
    if not stopped:
        click.echo(f"malbox: the supervisor (process {client.pid}) still runs after {timeout:g} s", err=True)
        ctx.exit(EXIT_TIMEOUT)
    click.echo(f"the supervisor (process {client.pid}) has stopped", err=True)
