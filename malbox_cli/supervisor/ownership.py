"""Who supervises a manifest: a lock on a file in its state folder, and in that file where to reach the owner.

The lock alone says that there is an owner: the kernel lets go of it however that process ends. The text says who.
"""

import fcntl
import json
import os
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from plugin_runtime.errors import MalboxError

__all__ = ["AlreadySupervised", "Owner", "Ownership", "find_owner", "make_state_folder", "require_nobody_needs"]

FILE = "supervisor.lock"
TAKE_SECONDS = 0.3
"""How long to try: who only looks whether there is an owner holds the lock for a moment too."""
TAKE_PAUSE_SECONDS = 0.01


class AlreadySupervised(MalboxError):
    """A living supervisor has this manifest."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A manifest's supervisor.

    Attributes:
        pid: Its process.
        socket: Its control socket.
        manifest: The file that it runs, absolute; manifests in one folder have one state folder if they name none.
    """

    pid: int
    socket: str
    manifest: str = ""

    def supervises(self, manifest: Path) -> bool:
        """Return whether a manifest is the one that it runs, by whatever path it is named."""
        return not self.manifest or os.path.realpath(self.manifest) == os.path.realpath(manifest)

    def refusal(self, manifest: Path, state_dir: Path) -> str:
        """Return why a manifest with this state folder cannot have another supervisor, and what to do."""
        if self.supervises(manifest):
            down = shlex.join(["malbox", "down", "-f", str(manifest)])
            return f"{manifest} is supervised already, by process {self.pid}: stop it with `{down}`"
        return (
            f"the state folder {state_dir} is in use, by the supervisor of {self.manifest} (process {self.pid}): "
            f"name another as state_dir in {manifest}"
        )


class Ownership:
    """The lock, held until `release`."""

    def __init__(self, descriptor: int, file: Path) -> None:
        self._descriptor = descriptor
        self._file = file

    @classmethod
    def take(cls, state_dir: Path, manifest: Path) -> "Ownership":
        """Become the owner.

        Raises:
            AlreadySupervised: Another process is.
            MalboxError: The state folder cannot be written to.
        """
        make_state_folder(state_dir)
        file = state_dir / FILE
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MalboxError(f"cannot write {file}: {error.strerror}") from error
        if not _lock(descriptor):
            owner = _read(descriptor)
            os.close(descriptor)
            if owner is not None:
                raise AlreadySupervised(owner.refusal(manifest, state_dir))
            down = shlex.join(["malbox", "down", "-f", str(manifest)])
            who = "a process that is just starting or ending"
            raise AlreadySupervised(f"{manifest} is supervised already, by {who}: stop it with `{down}`")
        os.truncate(descriptor, 0)  # what a killed owner wrote
        return cls(descriptor, file)

    def announce(self, owner: Owner) -> None:
        """Write down where the owner is reached.

        Raises:
            MalboxError: There is no room for it.
        """
        text = json.dumps(asdict(owner)).encode()
        try:
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)
        except OSError as error:
            raise MalboxError(f"cannot write {self._file}: {error.strerror}") from error

    def release(self) -> None:
        """Let go of the lock."""
        os.truncate(self._descriptor, 0)
        os.close(self._descriptor)


def make_state_folder(state_dir: Path) -> None:
    """Make the state folder, 0700: what malware wrote is in it.

    Raises:
        MalboxError: It cannot be made, or it is a folder with something else in it that is open to others.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state_dir.stat().st_mode & 0o077:
            require_nobody_needs(state_dir)
            state_dir.chmod(0o700)
    except OSError as error:
        raise MalboxError(f"cannot make the state folder {state_dir}: {error.strerror}") from error


def require_nobody_needs(state_dir: Path) -> None:
    """Check that a state folder that is open to others can be closed to them.

    Raises:
        MalboxError: There are other things in it; it may well be one that others need, such as a home or /tmp.
        OSError: It cannot be read.
    """
    content = os.listdir(state_dir)
    if content and FILE not in content and state_dir.stat().st_mode & 0o077:
        raise MalboxError(
            f"the state folder {state_dir} is open to other users and has other things than malbox's in it: "
            "name another as state_dir, or close it with chmod 700"
        )


def find_owner(state_dir: Path) -> Owner | None:
    """Return the living supervisor that has this state folder, or None."""
    try:
        descriptor = os.open(state_dir / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    give_up_at = time.monotonic() + TAKE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(TAKE_PAUSE_SECONDS)
        else:
            return True


def _read(descriptor: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None
