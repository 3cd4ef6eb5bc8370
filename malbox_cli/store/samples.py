"""Reads samples once, off the reactor's thread: for their digests, and for copies of them where those are wanted."""

import hashlib
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.store.objects import make_folder, object_path, sync_folder, temporary
from malbox_cli.supervisor.events import Event, SampleRead, SamplesChecked, SampleUnreadable

__all__ = ["SampleReader", "open_regular_file"]

BLOCK = 1 << 20
READERS = 2
COPY = "copy:"
"""How the fingerprint of a copy begins. Its size comes after it and no more: its name says what is in it, and where two
tasks have one sample, the copy of one is made new for the other."""
CLOSE_SECONDS = 1.0
"""How long a reader may take to give up: a file system that does not answer keeps it for ever."""


Samples = Sequence[tuple[int, str, str]]
"""For each task its number, the file that its plugin gets, and that file's fingerprint."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a sample was when it was read."""

    sha256: str
    size: int
    fingerprint: str
    copy: str | None


class Unusable(Exception):
    """A sample cannot be used although it can be read."""


class SampleReader:
    """Threads that read samples and say their digests.

    Args:
        say: Takes the answers; called on a reader's thread.
        copies: The folder for copies of the samples, made, 0700, with the first one; None: none are made.
    """

    def __init__(self, say: Callable[[Event], None], copies: Path | None = None) -> None:
        self._say = say
        self._copies = copies
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[int]] = {}
        self._jobs: queue.SimpleQueue[str | Samples | None] = queue.SimpleQueue()
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
                self._jobs.put(path)

    def check(self, samples: Samples) -> None:
        """Look in its turn whether samples are still as they were when they were read; answered by SamplesChecked."""
        self._jobs.put(tuple(samples))

    def close(self) -> None:
        """Give up on what is being read, and end the threads, but for those that a file system keeps."""
        self._stop.set()
        give_up_at = time.monotonic() + CLOSE_SECONDS
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stop.is_set():
            if isinstance(job, str):
                self._read(job)
            else:
                self._check(job)

    def _read(self, path: str) -> None:
        with self._lock:
            tasks = self._waiting.pop(path)
        answers: list[Event]
        try:
            found = self._take(path)
        except (OSError, ValueError, Unusable) as error:  # a path with a NUL in it is a ValueError
            why = f"cannot read the sample {path}: {getattr(error, 'strerror', None) or error}"
            answers = [SampleUnreadable(task_id, why) for task_id in tasks]
        else:
            answers = [
                SampleRead(task_id, found.sha256, found.size, found.fingerprint, found.copy) for task_id in tasks
            ]
        if not self._stop.is_set():
            for answer in answers:
                self._say(answer)

    def _take(self, path: str) -> Found:
        """Read a file to its end, and copy it if that is wanted; once the reader is being closed, only a part of it.

        Raises:
            OSError: It cannot be read.
            ValueError: Its path cannot be one.
            Unusable: It was not the same in the end as in the beginning, or no copy can be made.
        """
        descriptor = open_regular_file(path)
        try:
            before = os.fstat(descriptor)
            if self._copies is None:
                sha256 = self._digest(descriptor, None)
                copy = None
            else:
                sha256, copy = self._copied(descriptor, self._copies, before.st_size)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if _fingerprint(before) != _fingerprint(after):
            raise Unusable("it was changed while it was read")
        if copy is None:
            return Found(sha256, after.st_size, _fingerprint(after), None)
        return Found(sha256, after.st_size, f"{COPY}{after.st_size}", str(copy))

    def _copied(self, sample: int, folder: Path, size: int) -> tuple[str, Path | None]:
        """Copy an open file to a file named after its content, unless there is one; return its digest and that file.

        Raises:
            OSError: The sample cannot be read.
            Unusable: The copy cannot be written.
        """
        part = folder
        try:
            part = temporary(folder)
            target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        except OSError as error:
            raise Unusable(f"cannot copy it to {part}: {error.strerror}") from error
        try:
            sha256 = self._digest(sample, target)
            if self._stop.is_set():
                return sha256, None
            copy = object_path(folder, sha256)
            if _is_copy(copy, size):
                return sha256, copy
            try:
                os.fdatasync(target)
                make_folder(copy.parent)
                os.rename(part, copy)
                sync_folder(copy.parent)
            except OSError as error:
                raise Unusable(f"cannot copy it to {copy}: {error.strerror}") from error
            return sha256, copy
        finally:
            os.close(target)
            with suppress(OSError):  # it has its name by now
                os.unlink(part)

    def _digest(self, sample: int, target: int | None) -> str:
        """Return an open file's digest, and write what it has to another.

        Raises:
            OSError: It cannot be read.
            Unusable: The other cannot be written to.
        """
        digest = hashlib.sha256()
        block = bytearray(BLOCK)
        view = memoryview(block)
        while not self._stop.is_set() and (size := os.readv(sample, [block])):
            digest.update(view[:size])
            if target is not None:
                written = 0
                try:
                    while written < size:
                        written += os.write(target, view[written:size])
                except OSError as error:
                    raise Unusable(f"cannot copy it: {error.strerror}") from error
        return digest.hexdigest()

    def _check(self, samples: Samples) -> None:
        unchanged: list[int] = []
        changed: list[tuple[int, str]] = []
        for task_id, path, fingerprint in samples:
            why = _difference(path, fingerprint)
            if why is None:
                unchanged.append(task_id)
            else:
                changed.append((task_id, why))
        if not self._stop.is_set():
            self._say(SamplesChecked(tuple(unchanged), tuple(changed)))


def _is_copy(copy: Path, size: int) -> bool:
    """Return whether there is a copy already, and if so have it look new, so that nobody prunes it."""
    try:
        if copy.stat().st_size != size:
            return False
        os.utime(copy)
    except OSError:
        return False
    return True


def _fingerprint(status: os.stat_result) -> str:
    """Return what is other once a file was written to or replaced. Its device may be, too, after the next boot."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def _difference(path: str, fingerprint: str) -> str | None:
    """Return what is wrong with a sample that had a fingerprint; None: nothing."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return f"the sample {path} is not there any more"
    except (OSError, ValueError) as error:
        return f"cannot look at the sample {path}: {getattr(error, 'strerror', None) or error}"
    changed = f"the sample {path} changed while the task waited"
    if not stat.S_ISREG(status.st_mode):
        return f"{changed}: it is not a regular file any more"
    now = f"{COPY}{status.st_size}" if fingerprint.startswith(COPY) else _fingerprint(status)
    if now == fingerprint:
        return None
    size = fingerprint.removeprefix(COPY).partition(":")[0]
    if str(status.st_size) != size:
        return f"{changed}: it has {status.st_size} bytes, it had {size}"
    was, is_ = fingerprint.split(":"), now.split(":")
    if (was[1], was[3]) == (is_[1], is_[3]):
        return f"{changed}: its name, owner, mode or time was changed"
    return f"{changed}: it was written to or replaced"


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
