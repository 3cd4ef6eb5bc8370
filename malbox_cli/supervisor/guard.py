"""Keeps a guardian: the process that cleans up where this one is killed."""

import os
from contextlib import suppress
from pathlib import Path

from malbox_cli.supervisor.processes import SpawnError, reap_helper, spawn_helper

__all__ = ["Guard"]

PATIENCE_SECONDS = 1.0
"""How long it may take to end once it is let go of."""


class Guard:
    """A guardian, and what it has to know. One that was killed is started again when that is seen.

    Args:
        folder: The run's folder, which it removes.
        prefix: What the names of the run's files in shared memory begin with; empty: leave shared memory alone.
        lock: What holds the run's lock; the guardian keeps it until it has cleaned up.
        nonce: What the marks of the run's processes begin with.

    Raises:
        SpawnError: It could not be started.
    """

    def __init__(self, folder: Path, prefix: str, lock: int, nonce: int) -> None:
        self._lock = lock
        self._told = [f"supervisor {os.getpid()}", f"mark {nonce}", f"folder {folder}", f"memory {prefix}"]
        self._pids: set[int] = set()
        self._start()

    def spawned(self, pid: int) -> None:
        """Say that a plugin's process was started."""
        self._pids.add(pid)
        self._tell(f"spawned {pid}")

    def reaped(self, pid: int) -> None:
        """Say that a plugin's process has ended."""
        self._pids.discard(pid)
        self._tell(f"reaped {pid}")

    def look_after(self) -> bool:
        """Start the guardian again if it has ended; return whether it had. Nothing may be left unguarded for long."""
        if self._process.poll() is None:
            return False
        self._close()
        with suppress(BrokenPipeError, SpawnError):  # it is tried again the next time
            self._start()
        return True

    def done(self) -> None:
        """Say that nothing is left to clean up, and wait for the guardian's end, which comes within a moment."""
        with suppress(BrokenPipeError):
            self._write("done")
        self._close()

    def _start(self) -> None:
        self._process = spawn_helper("guardian", (), self._lock, is_fed=True)
        for line in (*self._told, *(f"spawned {pid}" for pid in self._pids)):
            self._write(line)

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            self._close()
            with suppress(BrokenPipeError, SpawnError):  # without one the supervisor goes on, and tries again next time
                self._start()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:  # it could not be started again the last time
            raise BrokenPipeError
        self._process.stdin.write(os.fsencode(line) + b"\n")
        self._process.stdin.flush()

    def _close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        reap_helper(self._process, PATIENCE_SECONDS)
