"""A supervisor's process in the background, from its start until it can be reached, or has ended."""

import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from malbox_cli.supervisor.ownership import find_owner, make_state_folder
from malbox_cli.supervisor.processes import spawn_detached
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location, Manifest
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["LOOK_SECONDS", "Background"]

LOOK_SECONDS = 0.02
OUTPUT = "detached.log"
"""In the state folder: what a supervisor in the background has to say before it can write its log, or after."""
MAX_SAID_BYTES = 64 * 1024


class Background:
    """A supervisor that goes on by itself, started here.

    Args:
        manifest: Whose.
        arguments: What follows ``malbox up``.

    Attributes:
        pid: Its process.
        pidfd: Becomes readable when that ends.

    Raises:
        MalboxError: There is a supervisor already, or it could not be started.
    """

    def __init__(self, manifest: "Manifest | Location", arguments: Sequence[str]) -> None:
        self._manifest = manifest
        if (owner := find_owner(manifest.state_dir)) is not None:
            raise MalboxError(owner.refusal(manifest.path, manifest.state_dir))
        make_state_folder(manifest.state_dir)
        said = manifest.state_dir / OUTPUT
        try:
            self._output = os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MalboxError(f"cannot write {said}: {error.strerror}") from error
        try:
            argv = [sys.executable, "-m", "malbox_cli.cli", "up", "--silent", *arguments]
            self.pid, self.pidfd = spawn_detached(argv, self._output)
        except BaseException:
            os.close(self._output)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the process; it goes on. One that has ended is reaped."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        os.close(self.pidfd)
        os.close(self._output)

    def owner(self) -> "Owner | None":
        """Return where it is reached; None as long as that is not so."""
        owner = find_owner(self._manifest.state_dir)
        return owner if owner is not None and owner.pid == self.pid else None

    def has_ended(self, timeout: float | None = 0.0) -> bool:
        """Wait for its end for so many seconds, None for ever; return whether it has ended."""
        return bool(select.select([self.pidfd], [], [], timeout)[0])

    def wait_for_owner(self) -> "Owner | None":
        """Wait until it can be reached; return None where it ends before."""
        while (owner := self.owner()) is None:
            if self.has_ended(LOOK_SECONDS):
                return None
        return owner

    def said(self) -> str:
        """Return what it has said."""
        return os.pread(self._output, MAX_SAID_BYTES, 0).decode("utf-8", "replace")
