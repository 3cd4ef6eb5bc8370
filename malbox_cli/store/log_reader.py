"""Reads a log on disk: from its end backwards, or on from where it was, into the files that follow."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from malbox_cli.store.log_file import KEPT_FILES, files_of
from malbox_cli.store.log_format import LogEntry, entries_from
from plugin_runtime.errors import MalboxError

__all__ = ["LogReader"]

BLOCK = 64 << 10
MAX_NEWS = 1 << 20
"""Bytes that are read on at once, so that one log that grows fast keeps nobody from the others."""


class File(NamedTuple):
    """A file of a log, whatever it is called by now."""

    inode: int
    path: Path


class LogReader:
    """One log. It may be written, grow full and be followed by another file meanwhile.

    Args:
        folder: Where it is.
        name: What it is called.
        plugin: Whose it is; None: malbox's own.
    """

    def __init__(self, folder: Path, name: str, plugin: str | None) -> None:
        self._folder = folder
        self._name = name
        self._plugin = plugin
        self._descriptor: int | None = None
        self._offset = 0
        self._last_at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def backwards(self) -> Iterator[LogEntry]:
        """Return what is there now, the last first; `news` goes on after that, and is not to be called before its end.

        Raises:
            MalboxError: It may not be read.
        """
        self._let_go()
        while self._descriptor is None and (files := self._files()):
            self._descriptor = _open(files[0])
        if self._descriptor is not None:
            self._offset = _end_of_lines(self._descriptor)
        return self._backwards()

    def news(self) -> list[LogEntry]:
        """Return the next part of what has come since, from the very beginning at first; nothing if nothing has come.

        Raises:
            MalboxError: It may not be read.
        """
        while not (news := self._read_on()):
            next_file, gap = self._next_file()
            if next_file is None:
                return []
            if news := self._read_on():  # what came between the last look and the end of that file
                break
            descriptor = _open(next_file)
            if descriptor is None:
                continue
            self._let_go()
            self._descriptor = descriptor
            if gap:
                text = b"lines are missing here: the log was written faster than it was read\n"
                return [LogEntry(self._last_at, self._plugin, "warning", text)]
        self._last_at = news[-1].at
        return news

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._offset = None, 0

    def _files(self) -> list[File]:
        """Return the files that there are, the newest first; one that gets its next number just now comes once."""
        files: dict[int, File] = {}
        for path in files_of(self._folder, self._name):
            with suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    files.setdefault(status.st_ino, File(status.st_ino, path))
        return list(files.values())

    def _next_file(self) -> tuple[File | None, bool]:
        """Return the file that follows the one that is read, if one does, and whether there were others in between."""
        files = self._files()
        if self._descriptor is None:
            return (files[-1] if files else None), False
        inodes = [file.inode for file in files]
        own = os.fstat(self._descriptor).st_ino
        if own in inodes:
            index = inodes.index(own)
            return (files[index - 1] if index else None), False
        return (files[-1] if files else None), len(files) == KEPT_FILES

    def _read_on(self) -> list[LogEntry]:
        """Return the next entries of the file that is read; nothing at its end."""
        entries: list[LogEntry] = []
        if self._descriptor is None:
            return entries
        if os.fstat(self._descriptor).st_size < self._offset:
            self._offset = 0  # somebody has cut it
        while not entries:
            data = os.pread(self._descriptor, MAX_NEWS, self._offset)
            end = data.rfind(b"\n") + 1
            if not end:
                break
            self._offset += end
            entries += entries_from(self._plugin, data[: end - 1].split(b"\n"))
        return entries

    def _backwards(self) -> Iterator[LogEntry]:
        if self._descriptor is None:
            return
        inode = os.fstat(self._descriptor).st_ino
        yield from self._backwards_in(self._descriptor, self._offset)
        while (older := self._file_before(inode)) is not None:
            descriptor = _open(older)
            if descriptor is None:
                continue
            try:
                yield from self._backwards_in(descriptor, _end_of_lines(descriptor))
            finally:
                os.close(descriptor)
            inode = older.inode

    def _file_before(self, inode: int) -> File | None:
        files = self._files()
        following = (older for newer, older in pairwise(files) if newer.inode == inode)
        return next(following, None)

    def _backwards_in(self, descriptor: int, end: int) -> Iterator[LogEntry]:
        """Yield the entries of a file that end at an offset, the last first."""
        rest = b""
        while end > 0:
            size = min(BLOCK, end)
            end -= size
            rest, *lines = (os.pread(descriptor, size, end) + rest).removesuffix(b"\n").split(b"\n")
            yield from entries_from(self._plugin, lines[::-1])
        yield from entries_from(self._plugin, [rest])


def _open(file: File) -> int | None:
    """Open a file; None if by now another one has its name.

    Raises:
        MalboxError: It may not be read.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MalboxError(f"cannot read {file.path}: {error.strerror}") from error
    if os.fstat(descriptor).st_ino == file.inode:
        return descriptor
    os.close(descriptor)
    return None


def _end_of_lines(descriptor: int) -> int:
    """Return where the last line ends that is whole: the one after it may just be written."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
