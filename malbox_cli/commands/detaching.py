"""`up --detach`: a supervisor that goes on in the background, waited for until its plugins are READY."""

import os
import select
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.following import TO_BE_READY, follow, tell_of
from malbox_cli.output.text import safe
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.control.client import ControlClient
    from malbox_cli.manifest.specs import Manifest
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["detach"]

EXIT_FAILED = 1
LOOK_SECONDS = 0.02
OUTPUT = "detached.log"
"""In the state folder: what a supervisor in the background has to say before it can write its log, or after."""


def detach(manifest: "Manifest", arguments: Sequence[str]) -> int:
    """Start a supervisor in the background, wait until all its plugins are READY, and return the exit code.

    Args:
        manifest: What it supervises.
        arguments: What follows ``malbox up``.

    Raises:
        MalboxError: There is a supervisor already, or it could not be started.
    """
    from malbox_cli.control.client import ControlClient, SupervisorLost
    from malbox_cli.supervisor.ownership import find_owner, make_state_folder
    from malbox_cli.supervisor.processes import spawn_detached

    down = shlex.join(["malbox", "down", "-f", str(manifest.path)])
    if (owner := find_owner(manifest.state_dir)) is not None:
        raise MalboxError(owner.refusal(manifest.path, manifest.state_dir))
    make_state_folder(manifest.state_dir)
    said = manifest.state_dir / OUTPUT
    try:
        output = os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MalboxError(f"cannot write {said}: {error.strerror}") from error
    try:
        argv = [sys.executable, "-m", "malbox_cli.cli", "up", "--silent", *arguments]
        pid, pidfd = spawn_detached(argv, output)
        try:
            found = _owner_of_process(manifest, pid, pidfd)
            if found is None:
                return _tell_of_the_end(output, manifest)
            try:
                with ControlClient(found, timeout=None) as client:
                    followed = follow(client, None, TO_BE_READY, None)
                    ends = bool(followed.missed) and _is_stopping(client)
            except SupervisorLost:
                select.select([pidfd], [], [])
                return _tell_of_the_end(output, manifest)
            if ends:  # as it does by itself when no plugin runs any more
                select.select([pidfd], [], [])
                tell_of(followed, TO_BE_READY, None)
                return _has_ended(manifest)
        finally:
            os.close(pidfd)
    finally:
        os.close(output)
    tell_of(followed, TO_BE_READY, None)
    running = f"the supervisor runs in the background (process {pid}); `{down}` stops it"
    if followed.missed or followed.waiting:
        click.echo(f"malbox: {running}", err=True)
        return EXIT_FAILED
    click.echo(f"every plugin is READY; {running}", err=True)
    return 0


def _owner_of_process(manifest: "Manifest", pid: int, pidfd: int) -> "Owner | None":
    """Wait until a process is the manifest's supervisor; return None where it ends before."""
    from malbox_cli.supervisor.ownership import find_owner

    while True:
        owner = find_owner(manifest.state_dir)
        if owner is not None and owner.pid == pid:
            return owner
        if select.select([pidfd], [], [], LOOK_SECONDS)[0]:
            return None
        time.sleep(0)


def _is_stopping(client: "ControlClient") -> bool:
    """Return whether the supervisor is stopping, or has ended; it decides about that before it answers."""
    from malbox_cli.control.client import SupervisorLost
    from malbox_cli.control.news import SupervisorNews

    states = (news.state for news in client.watch() if isinstance(news, SupervisorNews))
    try:
        return next(states, "stopping") == "stopping"
    except SupervisorLost:
        return True


def _tell_of_the_end(output: int, manifest: "Manifest") -> int:
    """Say what a supervisor said that has ended, and return the exit code."""
    text = os.pread(output, 64 * 1024, 0).decode("utf-8", "replace")
    for line in text.splitlines():
        click.echo(safe(line), err=True)
    return _has_ended(manifest)


def _has_ended(manifest: "Manifest") -> int:
    logs = shlex.join(["malbox", "logs", "-f", str(manifest.path)])
    click.echo(f"malbox: the supervisor has ended; `{logs}` shows what it said", err=True)
    return EXIT_FAILED
