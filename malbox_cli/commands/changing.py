"""What `start`, `stop` and `restart` share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from malbox_cli.client.following import TO_BE_STOPPED, TO_BE_UP, follow
from malbox_cli.commands.common import client_of, locate
from malbox_cli.commands.following import EXIT_TIMEOUT, answer_time, give_up_time, tell_of

__all__ = ["change"]

EXIT_FAILED = 1


def change(
    ctx: click.Context,
    what: Literal["start", "stop", "restart"],
    manifest_path: Path,
    plugins: Sequence[str],
    timeout: float | None,
) -> None:
    """Ask for plugins to be started, stopped or restarted, wait until they are, and end with the exit code."""
    from malbox_cli.control.problems import RequestDenied

    give_up_at = give_up_time(timeout)
    goal = TO_BE_STOPPED if what == "stop" else TO_BE_UP
    with client_of(locate(manifest_path), answer_time(give_up_at)) as client:
        try:
            plugin_ids = client.change(what, *plugins)
        except RequestDenied as error:
            raise click.UsageError(str(error)) from error
        followed = follow(client, plugin_ids, goal, give_up_at)
    for each in followed.reached:
        click.echo(f"{each.plugin} is {each.state}", err=True)
    tell_of(followed, goal, timeout)
    if followed.missed:
        ctx.exit(EXIT_FAILED)
    ctx.exit(EXIT_TIMEOUT if followed.waiting else 0)
