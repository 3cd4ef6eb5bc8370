"""Puts results on disk, on a thread of its own, so that a slow disk slows only the plugins that write to it.

What it is given stays in memory until it is written; its giver bounds that by granting a plugin's next frame only when
the thread says that the one before is on disk.
"""

import hashlib
import json
import os
import queue
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from malbox_cli.supervisor.events import ResultNotStored, ResultStored
from plugin_runtime.wire.messages import DataFormat

__all__ = ["ResultWriter", "Written", "safe_file_name"]

BLOCK = 1 << 20
MAX_FILE_NAME = 80
MAX_CHECKED_JSON = 64 << 20
"""JSON up to this many bytes is checked to be some before it is called so."""


@dataclass(frozen=True, slots=True)
class Written:
    """One frame of a task is dealt with: its plugin may send another."""

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


@dataclass(frozen=True, slots=True)
class Piece:
    """A job: one piece of a result."""

    task_id: int
    name: str
    format: DataFormat
    data: bytes
    is_first: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """A job: the content of an open file."""

    task_id: int
    name: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A job: say that a result cannot be stored."""

    task_id: int
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """A job: throw away what is unfinished of a task."""

    task_id: int


class ResultWriter:
    """The thread that writes results below a folder, one folder a task.

    Args:
        folder: Where; it is made, 0700, with the first result.
        say: Takes the answers; called on the writer's thread.
    """

    def __init__(self, folder: Path, say: Callable[[Answer], None]) -> None:
        self._folder = folder
        self._say = say
        self._jobs: queue.SimpleQueue[Piece | Copy | Refuse | Abandon | None] = queue.SimpleQueue()
        self._open: dict[int, Open] = {}
        self._numbers: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="malbox-results")
        self._thread.start()

    def write(
        self,
        task_id: int,
        name: str,
        data_format: DataFormat,
        data: bytes,
        *,
        is_first: bool,
        is_last: bool,
    ) -> None:
        """Write a piece of a result; the last one is answered by ResultStored or ResultNotStored, each by Written."""
        self._jobs.put(Piece(task_id, name, data_format, data, is_first, is_last))

    def copy(self, task_id: int, name: str, descriptor: int) -> None:
        """Copy an open file, and close it; answered by ResultStored or ResultNotStored, and then Written."""
        self._jobs.put(Copy(task_id, name, descriptor))

    def refuse(self, task_id: int, name: str, error: str) -> None:
        """Answer ResultNotStored, and then Written, after the answers to what was given before."""
        self._jobs.put(Refuse(task_id, name, error))

    def abandon(self, task_id: int) -> None:
        """Throw away what is unfinished of a task."""
        self._jobs.put(Abandon(task_id))

    def close(self) -> None:
        """Finish what was given, and end the thread."""
        self._jobs.put(None)
        self._thread.join()
        for task_id in list(self._open):
            self._abandon(task_id)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            match job:
                case Piece():
                    self._write(job)
                    self._say(Written(job.task_id))
                case Copy():
                    self._copy(job)
                    self._say(Written(job.task_id))
                case Refuse():
                    self._say(ResultNotStored(job.task_id, job.name, job.error))
                    self._say(Written(job.task_id))
                case Abandon():
                    self._abandon(job.task_id)

    def _write(self, piece: Piece) -> None:
        if piece.is_first:
            self._open[piece.task_id] = self._begin(piece.task_id, piece.name, piece.format)
        result = self._open.get(piece.task_id)
        if result is None:
            return  # it was abandoned
        self._append(result, piece.data)
        if piece.is_last:
            del self._open[piece.task_id]
            self._end(piece.task_id, result, "json" if piece.format is DataFormat.JSON else "bytes")

    def _copy(self, job: Copy) -> None:
        result = self._begin(job.task_id, job.name, DataFormat.BYTES)
        block = bytearray(BLOCK)
        view = memoryview(block)
        try:
            while result.error is None and (size := os.readv(job.descriptor, [block])):
                self._append(result, view[:size])
        except OSError as error:
            result.error = error.strerror
        finally:
            os.close(job.descriptor)
        self._end(job.task_id, result, "file")

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

    def _append(self, result: Open, data: bytes | memoryview) -> None:
        if result.error is not None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(result.descriptor, view) :]
        except OSError as error:
            result.error = f"{result.part}: {error.strerror}"
            return
        result.digest.update(data)
        result.size += len(data)

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

    def _abandon(self, task_id: int) -> None:
        result = self._open.pop(task_id, None)
        if result is not None and result.descriptor >= 0:
            os.close(result.descriptor)
            with suppress(OSError):
                result.part.unlink()


def _is_json(file: Path, size: int) -> bool:
    if size > MAX_CHECKED_JSON:
        return True
    try:
        json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def safe_file_name(name: str, suffix: str = "") -> str:
    """Return a file name for a result's name, which a plugin, and so a sample, may have chosen.

    It has no separators, no leading dot and no more than 80 characters, and ends in `suffix`.
    """
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:MAX_FILE_NAME] or "result"
    return text if text.endswith(suffix) else text + suffix
