"""Reads samples once, off the reactor's thread, for their digests."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from malbox_cli.supervisor.events import Event, SampleRead, SampleUnreadable

__all__ = ["SampleReader", "open_regular_file"]

BLOCK = 1 << 20
READERS = 2


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
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="malbox-samples")

    def read(self, task_id: int, path: str) -> None:
        """Read a sample in its turn; answered by SampleRead or SampleUnreadable.

        Tasks that ask for a sample that nobody has begun to read yet share one reading.
        """
        with self._lock:
            waiting = self._waiting.setdefault(path, [])
            waiting.append(task_id)
            if len(waiting) == 1:
                self._pool.submit(self._read, path)

    def close(self) -> None:
        """Give up on what is being read, and end the threads."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, path: str) -> None:
        with self._lock:
            tasks = self._waiting.pop(path)
        try:
            digest = self._digest(path)
        except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
            why = f"cannot read the sample {path}: {getattr(error, 'strerror', None) or error}"
            for task_id in tasks:
                self._say(SampleUnreadable(task_id, why))
        else:
            if digest is not None:
                for task_id in tasks:
                    self._say(SampleRead(task_id, digest))

    def _digest(self, path: str) -> str | None:
        digest = hashlib.sha256()
        descriptor = open_regular_file(path)
        try:
            block = bytearray(BLOCK)
            view = memoryview(block)
            while size := os.readv(descriptor, [block]):
                if self._stop.is_set():
                    return None
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
