"""`malbox up`."""

from pathlib import Path

import click

from malbox_cli.commands.common import load, manifest_option, to_start, verbose_option

__all__ = ["command"]


@click.command(epilog="Example: malbox up -f plugins.toml")
@manifest_option
@verbose_option
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, plugins: tuple[str, ...], *, verbose: bool) -> None:
    """Run the plugins of a manifest, or only those named and what they come after, in the foreground until stopped.

    The first Ctrl-C (or SIGTERM, SIGHUP) stops them in order, the second kills them, the third ends malbox alone.
    """
    from malbox_cli.supervisor.console import Console
    from malbox_cli.supervisor.serve import serve

    manifest = load(manifest_path)
    console = Console(quiet=False)
    try:
        code = serve(manifest, to_start(manifest, plugins), console, verbose=verbose)
    finally:
        console.close()
    ctx.exit(code)
