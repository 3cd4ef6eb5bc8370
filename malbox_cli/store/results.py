"""Puts results on disk, on threads of its own, so that a slow disk slows only the plugins that write to it.

Two threads share the work, because on most machines the digest costs more than the disk: one writes, the other one
follows it with the digest, finishes what is whole and answers. So answers come in the order of what was given.

What they are given stays in memory until both are done with it; its giver bounds that by giving no more than a few
frames of a task until it is told that one before is dealt with.

A result becomes a file that is named after its content (`objects`), read-only. One that is large is on disk, name and
all, before it is announced. The bytes of a small one go along with the announcement, for the ledger, which is synced
anyway: that is cheaper than to sync a file by itself, and from there it is written again where the file was lost.
"""

import ctypes
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from malbox_cli.control.json_text import parse_json
from malbox_cli.store.buffers import Buffers
from malbox_cli.store.objects import OBJECTS, make_folder, object_path, sync_folder, temporary
from malbox_cli.store.worker import Worker
from malbox_cli.supervisor.events import ResultNotStored, ResultStored
from plugin_runtime.wire.messages import Buffer, DataFormat

__all__ = ["ResultWriter", "Written"]

BLOCK = 1 << 20
CLOSE_SECONDS = 2.0
"""How long the end waits for what is still on its way to disk: a disk may never answer."""
MAX_CHECKED_JSON = 1 << 20
"""JSON up to this many bytes is checked to be some before it is called so; of more its reader finds out.

While it is parsed no other thread runs, and 64 MiB of empty lists take 13 seconds and 2 GB of memory.
"""


MAX_SMALL = 16 * 1024
"""Up to this many bytes a result goes along with its announcement."""
WRITEBACK = 8 << 20
"""After how many bytes the disk is told to begin, so that there is not everything left to do at the end.

Synced after that 256 MiB take 0.10 s instead of 0.17.
"""
SYNC_FILE_RANGE_WRITE = 2


@dataclass(frozen=True, slots=True)
class Written:
    """One frame of a task is dealt with: another may be given."""

    task_id: int


Answer = ResultStored | ResultNotStored | Written


@dataclass(slots=True)
class Open:
    """A result that is being written. `small` has its bytes as long as they are few."""

    name: str
    format: DataFormat
    part: Path
    descriptor: int
    size: int = 0
    small: bytearray | None = field(default_factory=bytearray)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    error: str | None = None


class ResultWriter:
    """The threads that write results.

    Args:
        state_dir: The state folder, in which they are; it is made, 0700, with the first result.
        say: Takes the answers; called on one of the threads.
    """

    def __init__(self, state_dir: Path, say: Callable[[Answer], None]) -> None:
        self._folder = state_dir / OBJECTS
        self._say = say
        self._open: dict[int, Open] = {}
        self._buffers = Buffers()
        self._writer = Worker("malbox-results")
        self._finisher = Worker("malbox-digests")

    def write(
        self,
        task_id: int,
        name: str,
        data_format: DataFormat,
        data: Buffer,
        *,
        is_first: bool,
        is_last: bool,
    ) -> None:
        """Write a piece of a result, which is copied before this returns.

        The last one is answered by ResultStored or ResultNotStored, and each by Written.
        """
        copy = self._buffers.copy_of(data)
        self._writer.submit(self._write, task_id, name, data_format, copy, is_first=is_first, is_last=is_last)

    def copy(self, task_id: int, name: str, descriptor: int) -> None:
        """Copy an open file, and close it; answered by ResultStored or ResultNotStored, and then Written."""
        self._writer.submit(self._copy, task_id, name, descriptor)

    def refuse(self, task_id: int, name: str, error: str) -> None:
        """Answer ResultNotStored, and then Written, after the answers to what was given before."""
        self._writer.submit(self._refuse, task_id, name, error)

    def abandon(self, task_id: int) -> None:
        """Throw away what is unfinished of a task."""
        self._writer.submit(self._abandon, task_id)

    def forget(self, task_id: int) -> None:
        """Take note that no further result of a task comes; what is unfinished of it is thrown away."""
        self._writer.submit(self._abandon, task_id)

    def close(self) -> bool:
        """Finish what was given, and end the threads; return whether that is done.

        Where the disk has not taken everything within two seconds the threads are left to it, and end with the process.
        """
        give_up_at = time.monotonic() + CLOSE_SECONDS
        if not self._writer.close(CLOSE_SECONDS):
            return False
        if not self._finisher.close(max(0.0, give_up_at - time.monotonic())):
            return False
        for task_id in list(self._open):
            self._abandon(task_id)
        return True

    # What the first thread runs.

    def _write(
        self, task_id: int, name: str, format_: DataFormat, data: memoryview, *, is_first: bool, is_last: bool
    ) -> None:
        if is_first:
            self._open[task_id] = self._begin(name, format_)
        result = self._open.get(task_id)
        if result is None:
            self._buffers.give_back(data)  # it was abandoned
        else:
            self._append(result, data)
            self._finisher.submit(self._digest, result, data)
            if is_last:
                del self._open[task_id]
                self._finisher.submit(self._end, task_id, result, "json" if format_ is DataFormat.JSON else "bytes")
        self._finisher.submit(self._say, Written(task_id))

    def _copy(self, task_id: int, name: str, descriptor: int) -> None:
        result = self._begin(name, DataFormat.BYTES)
        block = bytearray(BLOCK)
        view = memoryview(block)
        try:
            while result.error is None and (size := os.readv(descriptor, [block])):
                self._append(result, view[:size])
                result.digest.update(view[:size])
        except OSError as error:
            result.error = error.strerror
        finally:
            os.close(descriptor)
        self._finisher.submit(self._end, task_id, result, "file")
        self._finisher.submit(self._say, Written(task_id))

    def _refuse(self, task_id: int, name: str, error: str) -> None:
        self._finisher.submit(self._say, ResultNotStored(task_id, name, error))
        self._finisher.submit(self._say, Written(task_id))

    def _begin(self, name: str, format_: DataFormat) -> Open:
        part = self._folder
        try:
            part = temporary(self._folder)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        except OSError as error:
            return Open(name, format_, part, -1, error=f"{part}: {error.strerror}")
        return Open(name, format_, part, descriptor)

    def _append(self, result: Open, data: memoryview) -> None:
        if result.error is not None:
            return
        written = 0
        try:
            while written < len(data):
                written += os.write(result.descriptor, data[written:])
        except OSError as error:
            result.error = f"{result.part}: {error.strerror}"
            return
        before, result.size = result.size, result.size + written
        if result.small is not None:
            if result.size <= MAX_SMALL:
                result.small += data
            else:
                result.small = None
        if before // WRITEBACK != result.size // WRITEBACK:
            _begin_writeback(result.descriptor)

    def _abandon(self, task_id: int) -> None:
        result = self._open.pop(task_id, None)
        if result is not None and result.descriptor >= 0:
            os.close(result.descriptor)
            with suppress(OSError):
                result.part.unlink()

    # What the second one runs.

    def _digest(self, result: Open, data: memoryview) -> None:
        if result.error is None:
            result.digest.update(data)
        self._buffers.give_back(data)

    def _end(self, task_id: int, result: Open, kind: Literal["json", "bytes", "file"]) -> None:
        digest = result.digest.hexdigest()
        final = object_path(self._folder, digest)
        if result.error is None:
            try:
                if result.small is None:
                    os.fdatasync(result.descriptor)
                make_folder(final.parent)
                # Over one that is there already: who prunes sees by its age that it is wanted again.
                os.rename(result.part, final)
                if result.small is None:
                    sync_folder(final.parent)
            except OSError as error:
                result.error = f"{final}: {error.strerror}"
        if result.descriptor >= 0:
            os.close(result.descriptor)
        if result.error is not None:
            with suppress(OSError):
                result.part.unlink()
            self._say(ResultNotStored(task_id, result.name, result.error))
            return
        valid = kind != "json" or _is_json(final, result.size)
        data = None if result.small is None else bytes(result.small)
        self._say(ResultStored(task_id, result.name, kind, str(final), result.size, digest, valid, data))


def _is_json(file: Path, size: int) -> bool:
    if size > MAX_CHECKED_JSON:
        return True
    try:
        parse_json(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True


_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:  # a libc without it leaves everything to the end
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def _begin_writeback(descriptor: int) -> None:
    """Have the disk begin with what was written, without waiting for it."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE)
