"""What changes on disk, by `watchfiles`."""

import os
import sys
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import click

from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from types import TracebackType

    from watchfiles import Change
    from watchfiles.main import FileChange

__all__ = ["Changes", "Watched", "require_watchfiles"]

LOOK_MILLISECONDS = 100
"""How long one look takes where nothing changes."""

QUIET_MILLISECONDS = 100
"""What changes within this time of each other is one change: an editor writes a file in several steps."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched; all paths are absolute.

    Attributes:
        folders: Everything below these, but what editors, version control, caches and Python leave there.
        files: These, whether they are there or not; the folder of each has to be.
        ignored: Nothing below these, but the `files` that are there.
    """

    folders: frozenset[str]
    files: frozenset[str]
    ignored: frozenset[str]

    def places(self) -> list[str]:
        """Return the folders, and the files that are in none of them, in order."""
        return sorted(
            self.folders | {file for file in self.files if not any(_is_below(file, folder) for folder in self.folders)}
        )


def require_watchfiles() -> None:
    """Check that what watches is installed.

    Raises:
        click.UsageError: It is not.
    """
    try:
        import watchfiles  # noqa: F401 - whether it is there is the question
    except ImportError as error:
        install = f"{sys.executable} -m pip install watchfiles"
        raise click.UsageError(f"--watch needs watchfiles, which is not installed: `{install}`") from error


class Changes:
    """The changes of what is watched, from the moment that this was made.

    Args:
        watched: What is watched.

    Raises:
        MalboxError: It cannot be watched.
    """

    def __init__(self, watched: Watched) -> None:
        from watchfiles import DefaultFilter

        self._watched = watched
        self._is_worth_it = DefaultFilter()
        # A file by its folder: the one that an editor puts in its place is another file of the same name.
        around = {os.path.dirname(file) for file in watched.files}
        self._watches = [_watch(watched.folders, recursive=True), _watch(around, recursive=False)]
        self._early: set[str] = set()
        for watch in self._watches:
            self._early |= self._look(watch)  # the first look is what begins to watch

    def wait(self) -> list[str]:
        """Return the paths of what has changed since the last call, once there is something, in order."""
        changed, self._early = self._early, set()
        while not changed:
            for watch in self._watches:
                changed |= self._look(watch)
        for watch in self._watches:  # what belongs to it
            changed |= self._look(watch)
        return sorted(changed)

    def close(self) -> None:
        """Watch no more."""
        for watch in self._watches:
            watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.close()

    def _look(self, watch: "Generator[set[FileChange], None, None]") -> set[str]:
        try:
            found = next(watch)
        except (
            OSError,
            RuntimeError,
        ) as error:  # the latter is what watchfiles makes of errors that it has no name for
            raise MalboxError(f"cannot watch {', '.join(sorted(self._watched.folders))}: {error}") from error
        return {path for change, path in found if self._is_wanted(change, path)}

    def _is_wanted(self, change: "Change", path: str) -> bool:
        if path in self._watched.files:
            return True
        if any(_is_below(path, folder) for folder in self._watched.ignored):
            return False
        # By the part below the folder: what is above it may have a name that is passed over, such as .venv.
        return any(
            path != folder and _is_below(path, folder) and self._is_worth_it(change, os.path.relpath(path, folder))
            for folder in self._watched.folders
        )


def _watch(paths: Iterable[str], *, recursive: bool) -> "Generator[set[FileChange], None, None]":
    from watchfiles import watch

    return watch(
        *sorted(paths),
        watch_filter=None,  # a watch says nothing while it passes over what it found, and another has to be looked at
        step=QUIET_MILLISECONDS,
        rust_timeout=LOOK_MILLISECONDS,
        yield_on_timeout=True,
        recursive=recursive,
        ignore_permission_denied=True,
    )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
