"""`up --detach`: a supervisor that goes on in the background, waited for until its plugins are READY."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from malbox_cli.client.following import TO_BE_READY, follow
from malbox_cli.commands.common import locate
from malbox_cli.commands.following import tell_of
from malbox_cli.output.text import safe

if TYPE_CHECKING:
    from malbox_cli.client.background import Background
    from malbox_cli.client.plain import Client
    from malbox_cli.manifest.specs import Manifest

__all__ = ["detach"]

EXIT_FAILED = 1


def detach(manifest: "Manifest", arguments: Sequence[str]) -> int:
    """Start a supervisor in the background, wait until all its plugins are READY, and return the exit code.

    Args:
        manifest: What it supervises.
        arguments: What follows ``malbox up``.

    Raises:
        MalboxError: There is a supervisor already, or it could not be started.
    """
    from malbox_cli.client.background import Background
    from malbox_cli.client.plain import Client
    from malbox_cli.control.problems import SupervisorLost

    down = shlex.join(["malbox", "down", "-f", str(manifest.path)])
    with Background(manifest, arguments) as process:
        found = process.wait_for_owner()
        if found is None:
            return _tell_of_the_end(process, manifest)
        try:
            with Client(locate(manifest.path), found, timeout=None) as client:
                followed = follow(client, None, TO_BE_READY, None)
                ends = bool(followed.missed) and _is_stopping(client)
        except SupervisorLost:
            process.has_ended(None)
            return _tell_of_the_end(process, manifest)
        if ends:  # as it does by itself when no plugin runs any more
            process.has_ended(None)
            tell_of(followed, TO_BE_READY, None)
            return _has_ended(manifest)
        pid = process.pid
    tell_of(followed, TO_BE_READY, None)
    running = f"the supervisor runs in the background (process {pid}); `{down}` stops it"
    if followed.missed or followed.waiting:
        click.echo(f"malbox: {running}", err=True)
        return EXIT_FAILED
    click.echo(f"every plugin is READY; {running}", err=True)
    return 0


def _is_stopping(client: "Client") -> bool:
    """Return whether the supervisor is stopping, or has ended; it decides about that before it answers."""
    from malbox_cli.control.news import SupervisorNews
    from malbox_cli.control.problems import SupervisorLost

    states = (news.state for news in client.watch() if isinstance(news, SupervisorNews))
    try:
        return next(states, "stopping") == "stopping"
    except SupervisorLost:
        return True


def _tell_of_the_end(process: "Background", manifest: "Manifest") -> int:
    """Say what a supervisor said that has ended, and return the exit code."""
    for line in process.said().splitlines():
        click.echo(safe(line), err=True)
    return _has_ended(manifest)


def _has_ended(manifest: "Manifest") -> int:
    logs = shlex.join(["malbox", "logs", "-f", str(manifest.path)])
    click.echo(f"malbox: the supervisor has ended; `{logs}` shows what it said", err=True)
    return EXIT_FAILED
