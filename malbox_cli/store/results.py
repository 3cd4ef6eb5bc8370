"""Puts results on disk, on threads of its own, so that a slow disk slows only the plugins that write to it.

Two threads share the work, because on most machines the digest costs more than the disk: one writes, the other one
follows it with the digest, finishes what is whole and answers. So answers come in the order of what was given.

What they are given stays in memory until both are done with it; its giver bounds that by giving no more than a few
frames of a task until it is told that one before is dealt with.
"""

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
from malbox_cli.store.names import safe_file_name
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


@dataclass(frozen=True, slots=True)
class Written:
    """One frame of a task is dealt with: another may be given."""

    task_id: int


Answer = ResultStored | ResultNotStored | Written


@dataclass(slots=True)
class Open:
    """A result that is being written."""

    name: str
    format: DataFormat
    part: Path
    descriptor: int
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    error: str | None = None


class ResultWriter:
    """The threads that write results below a folder, one folder a task.

    Args:
        folder: Where; it is made, 0700, with the first result.
        say: Takes the answers; called on one of the threads.
    """

    def __init__(self, folder: Path, say: Callable[[Answer], None]) -> None:
        self._folder = folder
        self._say = say
        self._open: dict[int, Open] = {}
        self._numbers: dict[int, int] = {}
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
        """Take note that no further result of a task comes."""
        self._writer.submit(self._numbers.pop, task_id, None)

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
            self._open[task_id] = self._begin(task_id, name, format_)
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
        result = self._begin(task_id, name, DataFormat.BYTES)
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

    def _begin(self, task_id: int, name: str, format_: DataFormat) -> Open:
        number = self._numbers[task_id] = self._numbers.get(task_id, 0) + 1
        suffix = ".json" if format_ is DataFormat.JSON else ""
        part = self._folder / str(task_id) / f"{number:02}-{safe_file_name(name, suffix)}.part"
        try:
            for folder in (self._folder.parent, self._folder, part.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
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
        result.size += written

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
        final = result.part.with_suffix("")
        if result.error is None:
            try:
                os.rename(result.part, final)
            except OSError as error:
                result.error = f"{final}: {error.strerror}"
        if result.descriptor >= 0:
            os.close(result.descriptor)
        if result.error is not None:
            with suppress(OSError):
                result.part.unlink()
            self._say(ResultNotStored(task_id, result.name, result.error))
            return
        digest = result.digest.hexdigest()
        valid = kind != "json" or _is_json(final, result.size)
        self._say(ResultStored(task_id, result.name, kind, str(final), result.size, digest, valid))


def _is_json(file: Path, size: int) -> bool:
    if size > MAX_CHECKED_JSON:
        return True
    try:
        parse_json(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True
