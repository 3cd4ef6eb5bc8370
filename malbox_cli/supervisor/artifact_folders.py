"""The folders in which tasks have theirs: one for each process, below one of the run in the state folder."""

import fcntl
import os
import queue
import secrets
import threading
from contextlib import suppress
from pathlib import Path

from plugin_runtime.errors import MalboxError
from plugin_runtime.remove_tree import remove_tree

__all__ = ["ARTIFACTS", "ArtifactFolders"]

ARTIFACTS = "artifacts"
MAX_TRIES = 100
CLOSE_SECONDS = 10.0
"""How long the removing may take at the end; what is left then, the next run removes."""


class ArtifactFolders:
    """A run's folder, locked while the run goes on; what dead runs left beside it is removed.

    What a task's process has not removed itself, because it was killed, is removed on a thread: a sample may have
    unpacked anything there, and nobody waits for it.

    Args:
        state_dir: The state folder; it is there.

    Raises:
        MalboxError: The folder cannot be made.
    """

    def __init__(self, state_dir: Path) -> None:
        base = state_dir / ARTIFACTS
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        try:
            base.mkdir(mode=0o700, exist_ok=True)
            self._folder, self._lock = _make_locked(base)
            self._left = [str(base / name) for name in os.listdir(base) if name != self._folder.name]
        except OSError as error:
            raise MalboxError(f"cannot make a folder in {base}: {error.strerror}") from error
        # A disk may not answer, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="malbox-artifacts", daemon=True)
        self._thread.start()

    def of(self, instance: str) -> str:
        """Return the folder of a process, which need not be there: who wants one makes it."""
        return str(self._folder / instance)

    def remove(self, instance: str) -> None:
        """Remove the folder of a process that has ended, some time. Does not block."""
        self._jobs.put(self.of(instance))

    def close(self) -> None:
        """Remove everything of the run; when none of its processes is left."""
        self._jobs.put(str(self._folder))
        self._jobs.put(None)
        self._thread.join(CLOSE_SECONDS)
        with suppress(OSError):
            self._folder.parent.rmdir()  # it stays where another run has its folder in it
        os.close(self._lock)

    def _run(self) -> None:
        for left in self._left:
            _remove_if_over(left)
        while (path := self._jobs.get()) is not None:
            with suppress(FileNotFoundError):
                remove_tree(path)


def _make_locked(base: Path) -> tuple[Path, int]:
    """Make a folder of our own and lock it; return it and the descriptor that holds the lock.

    Raises:
        OSError: It cannot be made.
    """
    for _ in range(MAX_TRIES):
        folder = base / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        # Another run may take it for one that was left, until it is locked.
        with suppress(FileNotFoundError, BlockingIOError):
            lock = _lock(str(folder))
            if os.path.exists(folder):
                return folder, lock
            os.close(lock)
    raise OSError(None, "others remove it")


def _lock(folder: str) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_over(folder: str) -> None:
    """Remove a run's folder unless the run goes on."""
    with suppress(OSError):
        lock = _lock(folder)
        try:
            remove_tree(folder)
        finally:
            os.close(lock)
