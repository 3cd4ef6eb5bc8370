"""`malbox wait`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import NoSupervisor, locate, manifest_option, owner_of, timeout_option
from malbox_cli.commands.following import EXIT_TIMEOUT, TO_BE_READY, answer_time, follow, give_up_time, tell_of

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location
    from malbox_cli.supervisor.ownership import Owner

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
    from malbox_cli.control.client import ControlClient
    from malbox_cli.manifest.select import NoSuchPlugin, matching

    manifest = locate(manifest_path)
    give_up_at = give_up_time(timeout)
    owner = _owner(manifest, give_up_at)
    with ControlClient(owner, answer_time(give_up_at)) as client:
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


def _owner(manifest: "Location", give_up_at: float | None) -> "Owner":
    """Return the manifest's supervisor; with a time limit it may still be about to come.

    Raises:
        NoSupervisor: There is none.
    """
    while True:
        try:
            return owner_of(manifest)
        except NoSupervisor:
            if give_up_at is None or time.monotonic() >= give_up_at:
                raise
            time.sleep(LOOK_SECONDS)
