"""Keeps a guardian: the process that cleans up where this one is killed."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from malbox_cli.supervisor.processes import SpawnError, end_helper, reap_helper, spawn_helper

__all__ = ["Guard"]

PATIENCE_SECONDS = 1.0
"""How long it may take to end once it is let go of."""


class Guard:
    """A guardian, and what it has to know. One that was killed is started again when that is seen.

    It is made before there is anything to clean up. None of its methods but `done` blocks: one that does not listen any
    more, because somebody has stopped it, is replaced.

    Args:
        folder: The folder that the run will have, which the guardian removes.
        prefix: What the names of the run's files in shared memory begin with; empty: leave shared memory alone.
        nonce: What the marks of the run's processes begin with.

    Raises:
        SpawnError: It could not be started.
    """

    def __init__(self, folder: Path, prefix: str, nonce: int) -> None:
        self._told = [f"supervisor {os.getpid()}", f"mark {nonce}", f"folder {folder}", f"memory {prefix}"]
        self._pids: set[int] = set()
        self._lock: int | None = None
        self._is_there = False
        self._start()

    def locked(self, lock: int) -> None:
        """Hand over what holds the run's lock: the guardian keeps it until it has cleaned up."""
        self._lock = lock
        self._tell("locked", lock)

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
        if self._is_there and self._process.poll() is None:
            return False
        self._end()
        with suppress(OSError, SpawnError):  # it is tried again the next time
            self._start()
        return True

    def done(self) -> None:
        """Say that nothing is left to clean up, and wait for the guardian's end, which comes within a moment."""
        if self._is_there:
            with suppress(OSError):
                self._write("done")
            self._channel.close()
            reap_helper(self._process, PATIENCE_SECONDS)

    def _start(self) -> None:
        self._channel, other = socket.socketpair()
        try:
            self._process = spawn_helper("guardian", [str(other.fileno())], other.fileno())
        except BaseException:
            self._channel.close()
            raise
        finally:
            other.close()
        self._is_there = True
        self._channel.setblocking(False)
        with suppress(OSError):  # it has ended already: that is seen when there is more to tell it
            self._write("\n".join([*self._told, *(f"spawned {pid}" for pid in self._pids)]))
            if self._lock is not None:
                self._write("locked", self._lock)

    def _tell(self, line: str, *descriptors: int) -> None:
        try:
            self._write(line, *descriptors)
        except OSError:
            self._end()
            with suppress(OSError, SpawnError):  # without one the supervisor goes on, and tries again next time
                self._start()

    def _write(self, text: str, *descriptors: int) -> None:
        """Say something.

        Raises:
            OSError: It is gone, or does not listen.
        """
        if not self._is_there:  # it could not be started again the last time
            raise BrokenPipeError
        data = os.fsencode(text) + b"\n"
        if socket.send_fds(self._channel, [data], descriptors) < len(data):
            raise BlockingIOError

    def _end(self) -> None:
        """Kill the guardian, which is of no use any more: what it has read so far would have it clean up."""
        if self._is_there:
            self._is_there = False
            end_helper(self._process)
            self._channel.close()
