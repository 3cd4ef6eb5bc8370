"""A task's folder for files, and what becomes of them when the task ends."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plugin_runtime.collecting import MAX_FILES, Collecting, Rules, result_name_of
from plugin_runtime.remove_tree import remove_tree

__all__ = ["Artifacts"]

MAX_LOOKED_AT = 100_000
"""Entries of a folder that are looked at; a sample may have made any number of them."""
MAX_NAMED = 5
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
_State = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _File:
    """A file below a folder: its path there, and what the system says of it."""

    path: str
    status: os.stat_result


class Artifacts:
    """The files of one task.

    Args:
        base: The folder in which the task's is made; empty: the system's temporary one.
        task_id: The task.
        collect: What is collected.
    """

    __slots__ = ("_base", "_before", "_collect", "_folder", "_left_out", "_taken", "_task_id")

    def __init__(self, base: str, task_id: int, collect: Collecting) -> None:
        self._base = base
        self._task_id = task_id
        self._collect = collect
        self._folder = ""
        self._taken: set[str] = set()
        self._left_out: list[str] = []
        self._before: dict[str, _State] = {}
        if self._collects_logs:
            self._before = {file.path: _state(file.status) for file in self._files_below(collect.log_folder)}
            self._left_out.clear()

    @property
    def folder(self) -> Path:
        """The task's folder, which is made when it is first asked for.

        Raises:
            OSError: It cannot be made.
        """
        if not self._folder:
            self._folder = self._make()
        return Path(self._folder)

    def take(self, path: str | os.PathLike[str]) -> None:
        """Take note that a file, or everything in a folder, is not to be collected any more."""
        if self._folder or self._collects_logs:
            self._taken.add(_real(os.fspath(path)))

    def collect(self, push: Callable[[str, str], None]) -> str:
        """Push every file that is wanted; return a sentence about those that could not be, empty for none.

        Args:
            push: Takes a result's name and a file's path. What it raises is raised, but for an `OSError`.
        """
        count = 0
        sources = [("artifacts", self._folder, self._collect.artifacts)]
        if self._collects_logs:
            sources.append(("external_logs", self._collect.log_folder, self._collect.logs))
        for name, folder, rules in sources:
            if not folder or not rules.enabled:
                continue
            real = os.path.realpath(folder)
            for file in self._wanted(real, rules, changed_only=name != "artifacts"):
                if count == MAX_FILES:
                    self._left_out.append(f"all after the first {MAX_FILES}")
                    break
                import hashlib  # for those who leave files

                digest = hashlib.sha256(os.fsencode(file.path)).hexdigest()
                try:
                    push(result_name_of(name, file.path, digest), os.path.join(real, file.path))
                except OSError as error:
                    self._leave_out(file.path, error.strerror or str(error))
                count += 1
        return self._sentence()

    def remove(self) -> None:
        """Remove the task's folder with everything in it."""
        if self._folder:
            with suppress(FileNotFoundError):
                remove_tree(self._folder)
            self._folder = ""

    @property
    def _collects_logs(self) -> bool:
        return self._collect.logs.enabled and bool(self._collect.log_folder)

    def _make(self) -> str:
        if not self._base:
            import tempfile  # it takes longer to load than all of this, and few need it

            return tempfile.mkdtemp(prefix=f"malbox-task-{self._task_id}-")
        folder = os.path.join(self._base, str(self._task_id))
        with suppress(FileNotFoundError):
            remove_tree(folder)  # of an attempt before, which could not remove it
        os.makedirs(folder, mode=0o700)
        return folder

    def _wanted(self, folder: str, rules: Rules, *, changed_only: bool) -> Iterator[_File]:
        for file in self._files_below(folder):
            if not rules.wants(file.path) or self._is_taken(folder, file.path):
                continue
            if changed_only and self._before.get(file.path) == _state(file.status):
                continue
            kind = stat.S_IFMT(file.status.st_mode)
            if kind != stat.S_IFREG:
                self._leave_out(file.path, _KINDS.get(kind, "no regular file"))
            elif file.status.st_size > rules.max_file_size:
                self._leave_out(file.path, f"{file.status.st_size} bytes, over max_file_size")
            else:
                yield file

    def _is_taken(self, folder: str, path: str) -> bool:
        if not self._taken:
            return False
        whole = os.path.join(folder, path)
        while len(whole) >= len(folder):
            if whole in self._taken:
                return True
            whole = os.path.dirname(whole)
        return False

    def _files_below(self, folder: str) -> Iterator[_File]:
        """Yield what is below a folder and no folder, in order; symbolic links are not followed."""
        looked_at, waiting = 0, [""]
        while waiting:
            below = waiting.pop()
            folders = []
            try:
                with os.scandir(os.path.join(folder, below)) as entries:
                    found = []
                    for entry in entries:
                        looked_at += 1
                        if looked_at > MAX_LOOKED_AT:
                            self._left_out.append(f"all after the first {MAX_LOOKED_AT} files and folders")
                            waiting.clear()
                            break
                        found.append(entry)
            except OSError as error:
                if below:
                    self._leave_out(below, error.strerror or str(error))
                continue
            for entry in sorted(found, key=lambda each: each.name):
                path = os.path.join(below, entry.name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    else:
                        yield _File(path, entry.stat(follow_symlinks=False))
                except OSError:
                    continue  # it has gone meanwhile
            waiting += reversed(folders) if looked_at <= MAX_LOOKED_AT else []

    def _leave_out(self, path: str, why: str) -> None:
        self._left_out.append(f"{os.fsencode(path).decode('utf-8', 'backslashreplace')[:200]} ({why})")

    def _sentence(self) -> str:
        if not self._left_out:
            return ""
        named = self._left_out[:MAX_NAMED]
        more = len(self._left_out) - len(named)
        return f"not collected: {', '.join(named)}{f', and {more} more' if more else ''}"


def _state(status: os.stat_result) -> _State:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _real(path: str) -> str:
    """Return where a file is; of a symbolic link, itself and not what it leads to."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
