"""Reads samples once, off the reactor's thread, for their digests."""

import hashlib
import os
import queue
import stat
import threading
import time
from collections.abc import Callable

from malbox_cli.supervisor.events import Event, SampleRead, SampleUnreadable

__all__ = ["SampleReader", "open_regular_file"]

BLOCK = 1 << 20
READERS = 2
CLOSE_SECONDS = 1.0
"""How long a reader may take to give up: a file system that does not answer keeps it for ever."""


class SampleReader:
    """Threads that read samples and say their digests.

    Args:
        say: Takes the answers; called on a reader's thread.
    """

    def __init__(self, say: Callable[[Event], None]) -> None:
        self._say = say
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[int]] = {}
        self._paths: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # Daemons, because nothing ends a thread that waits for a file system.
        self._threads = [threading.Thread(target=self._run, name="malbox-samples", daemon=True) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def read(self, task_id: int, path: str) -> None:
        """Read a sample in its turn; answered by SampleRead or SampleUnreadable.

        Tasks that ask for a sample that nobody has begun to read yet share one reading.
        """
        with self._lock:
            waiting = self._waiting.setdefault(path, [])
            waiting.append(task_id)
            if len(waiting) == 1:
                self._paths.put(path)

    def close(self) -> None:
        """Give up on what is being read, and end the threads, but for those that a file system keeps."""
        self._stop.set()
        give_up_at = time.monotonic() + CLOSE_SECONDS
        for _ in self._threads:
            self._paths.put(None)
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _run(self) -> None:
        while (path := self._paths.get()) is not None and not self._stop.is_set():
            self._read(path)

    def _read(self, path: str) -> None:
        with self._lock:
            tasks = self._waiting.pop(path)
        answers: list[Event]
        try:
            digest = self._digest(path)
            answers = [SampleRead(task_id, digest) for task_id in tasks]
        except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
            why = f"cannot read the sample {path}: {getattr(error, 'strerror', None) or error}"
            answers = [SampleUnreadable(task_id, why) for task_id in tasks]
        if not self._stop.is_set():
            for answer in answers:
                self._say(answer)

    def _digest(self, path: str) -> str:
        """Return a file's digest, or, once the reader is being closed, that of a part of it."""
        digest = hashlib.sha256()
        descriptor = open_regular_file(path)
        try:
            block = bytearray(BLOCK)
            view = memoryview(block)
            while not self._stop.is_set() and (size := os.readv(descriptor, [block])):
                digest.update(view[:size])
        finally:
            os.close(descriptor)
        return digest.hexdigest()


def open_regular_file(path: str) -> int:
    """Open a file for reading, and return its descriptor.

    Raises:
        OSError: It cannot be opened, or it is a folder, a pipe, a device or a socket, whose reading might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    return descriptor
