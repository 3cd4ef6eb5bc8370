"""`malbox wait`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.client.following import TO_BE_READY, follow
from malbox_cli.commands.common import client_of, locate, manifest_option, timeout_option
from malbox_cli.commands.following import EXIT_TIMEOUT, answer_time, give_up_time, tell_of
from malbox_cli.control.problems import NoSupervisor

if TYPE_CHECKING:
    from malbox_cli.client.plain import Client
    from malbox_cli.manifest.specs import Location

__all__ = ["command"]

EXIT_NOT_READY = 3
LOOK_SECONDS = 0.02


@click.command(epilog="Example: malbox wait --timeout 30 && malbox send-task file-info /bin/ls")
@manifest_option
@timeout_option("Stop waiting after this time; a supervisor that is not there yet is waited for too.")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, plugins: tuple[str, ...], timeout: float | None) -> None:
    """Wait until plugins of a supervisor are READY, by default all.

    Ends with 3 as soon as one of them cannot become READY by itself any more, with 124 if the time is over. A PLUGIN
    may be a pattern, such as 'yara-*'; the name of one with instances means all of them. One that starts a process only
    when there is a task, and is IDLE, counts as READY.
    """
    from malbox_cli.manifest.select import NoSuchPlugin, matching

    manifest = locate(manifest_path)
    give_up_at = give_up_time(timeout)
    with _client(manifest, give_up_at) as client:
        wanted = None
        if plugins:
            try:
                there = [plugin.id for plugin in client.status().plugins]
                wanted = matching(plugins, there, manifest.groups)
            except NoSuchPlugin as error:
                raise click.UsageError(str(error)) from error
        followed = follow(client, wanted, TO_BE_READY, give_up_at)
    tell_of(followed, TO_BE_READY, timeout)
    if followed.missed:
        ctx.exit(EXIT_NOT_READY)
    ctx.exit(EXIT_TIMEOUT if followed.waiting else 0)


def _client(manifest: "Location", give_up_at: float | None) -> "Client":
    """Connect to the manifest's supervisor; with a time limit it may still be about to come.

    Raises:
        NoSupervisor: There is none.
        SupervisorLost: It cannot be reached.
    """
    while True:
        try:
            return client_of(manifest, answer_time(give_up_at))
        except NoSupervisor:
            if give_up_at is None or time.monotonic() >= give_up_at:
                raise
            time.sleep(LOOK_SECONDS)
