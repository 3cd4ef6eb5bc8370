"""One log on disk: a file that is appended to, and the ones before it, which were full."""

import fcntl
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

__all__ = ["KEPT_FILES", "MAX_FILE_BYTES", "append", "files_of", "log_folder", "log_names", "log_path"]

MAX_FILE_BYTES = 10 << 20
KEPT_FILES = 5
"""The one that is written and those before it: ``.log``, ``.log.1`` to ``.log.4``."""

WRITE_BYTES = 128 << 10
"""How much is written at once. It is not more because nobody else runs while it is put together."""

SUFFIX = ".log"
NAME = re.compile(r"([A-Za-z0-9_-]+)\.log")
"""Those of plugins and malbox's own."""


def log_folder(state_dir: Path) -> Path:
    """Return the folder of the logs in a state folder."""
    return state_dir / "logs"


def log_path(folder: Path, name: str) -> Path:
    """Return the file that is written of a log."""
    return folder / f"{name}{SUFFIX}"


def files_of(folder: Path, name: str) -> list[Path]:
    """Return all files that a log may have, the newest first."""
    newest = log_path(folder, name)
    return [newest, *(newest.with_name(f"{newest.name}.{number}") for number in range(1, KEPT_FILES))]


def log_names(folder: Path) -> list[str]:
    """Return the names of the logs in a folder, in order; none if it is not there."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(match[1] for match in map(NAME.fullmatch, names) if match)


def append(folder: Path, name: str, blocks: Iterable[bytes]) -> tuple[int, OSError | None]:
    """Write blocks of whole lines to the end of a log, and begin another file of it when one is full.

    The file is opened anew each time: so a log goes on that somebody has moved or removed, and that of two supervisors,
    as there are while `malbox run` runs beside `malbox up`.

    Returns:
        How many lines are on disk now, and what went wrong with the others.
    """
    written = 0
    waiting = bytearray()
    try:
        room = 0
        for block in blocks:
            if waiting and len(waiting) + len(block) > min(room, WRITE_BYTES):
                written += _write(folder, name, waiting)
                room -= len(waiting)
                waiting.clear()
            if len(block) > room:
                room = _room(folder, name, len(block))
            waiting += block
        if waiting:
            written += _write(folder, name, waiting)
    except _CutShort as cut:
        return written + cut.lines, cut.error
    except OSError as error:
        return written, error
    return written, None


class _CutShort(Exception):
    """Not everything could be written."""

    def __init__(self, lines: int, error: OSError) -> None:
        super().__init__(str(error))
        self.lines = lines
        self.error = error


def _room(folder: Path, name: str, needed: int) -> int:
    """Return how many bytes the newest file of a log may still get, after making room for those that are needed."""
    path = log_path(folder, name)
    with suppress(FileNotFoundError):
        if _is_full(path, needed):
            _rotate(folder, name, needed)
        # Where somebody else is at it there is no room to speak of: the next block goes to the end all the same.
        return MAX_FILE_BYTES - path.stat().st_size
    return MAX_FILE_BYTES


def _is_full(path: Path, needed: int) -> bool:
    size = path.stat().st_size
    return size > 0 and size + needed > MAX_FILE_BYTES


def _rotate(folder: Path, name: str, needed: int) -> None:
    """Give every file of a log the next number, unless another process does so just now, or has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            files = files_of(folder, name)
            if _is_full(files[0], needed):
                for newer, older in reversed(list(pairwise(files))):
                    with suppress(FileNotFoundError):
                        newer.replace(older)
    finally:
        os.close(descriptor)


def _write(folder: Path, name: str, data: bytearray) -> int:
    """Append lines to the newest file, and return how many.

    Raises:
        _CutShort: There was no room for all of them.
        OSError: The file cannot be opened.
    """
    path = log_path(folder, name)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    done = 0
    try:
        # A line that was cut by a full disk, or with the machine's power, ends here, and not in the middle of the next.
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        with memoryview(data) as rest:
            while done < len(data):
                done += os.write(descriptor, rest[done:])
    except OSError as error:
        raise _CutShort(data.count(b"\n", 0, done), error) from error
    finally:
        os.close(descriptor)
    return data.count(b"\n")
