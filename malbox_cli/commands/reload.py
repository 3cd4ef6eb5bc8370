"""`malbox reload`."""

from pathlib import Path

import click

from malbox_cli.client.following import TO_BE_STOPPED, TO_BE_UP, follow
from malbox_cli.commands.common import client_of, locate, manifest_option, timeout_option
from malbox_cli.commands.following import EXIT_TIMEOUT, answer_time, give_up_time, tell_of

__all__ = ["command"]

EXIT_FAILED = 1


@click.command(epilog="Example: malbox reload -f plugins.toml")
@manifest_option
@timeout_option("Stop waiting after this time.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, timeout: float | None) -> None:
    """Have a running supervisor read its manifest again, and wait until that is done.

    Plugins that are new are started, those that are gone are stopped, those of which something else is said now are
    restarted; the rest are not touched. A manifest with problems changes nothing. Ends with 1 if a plugin fails.
    """
    from malbox_cli.control.problems import RequestDenied
    from plugin_runtime.errors import MalboxError

    give_up_at = give_up_time(timeout)
    with client_of(locate(manifest_path), answer_time(give_up_at)) as client:
        try:
            done = client.reload()
        except RequestDenied as error:
            raise MalboxError(str(error)) from error
        for what in ("added", "removed", "changed"):
            for plugin_id in getattr(done, what):
                click.echo(f"{plugin_id} is {what}", err=True)
        if not (done.added or done.removed or done.changed):
            click.echo("nothing has changed", err=True)
            return
        up = follow(client, (*done.added, *done.changed), TO_BE_UP, give_up_at)
        gone = follow(client, done.removed, TO_BE_STOPPED, give_up_at)
    tell_of(up, TO_BE_UP, timeout)
    tell_of(gone, TO_BE_STOPPED, timeout)
    if up.missed:
        ctx.exit(EXIT_FAILED)
    ctx.exit(EXIT_TIMEOUT if up.waiting or gone.waiting else 0)
