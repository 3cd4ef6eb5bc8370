"""Removes what nobody needs any more: tasks that ended long ago, and the files that only they had.

A supervisor may be running, and storing at this moment the very content whose last task goes. So a file goes only when
it is sure that nobody has just come to need it: whoever stores content gives its file a new time, even where there was
one already. While somebody has the ledger open, a file that no task has and that is younger than an hour may be on its
way into it, and stays.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.store.ledger_prune import LedgerPruner
from malbox_cli.store.objects import OBJECTS, SAMPLES, TMP, make_folder, object_path
from plugin_runtime.errors import MalboxError

__all__ = ["Pruned", "prune"]

LEGACY = "results"
"""Where results were before there was a ledger: a folder for each run."""
GRACE_SECONDS = 3600.0
"""How old a file has to be while somebody stores."""
ASIDE = "pruned-"
"""How the name of a file begins that is being removed; the digest comes after it."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: tasks, their results, and bytes of results and of copies of samples."""

    tasks: int
    results: int
    bytes: int


def prune(state_dir: Path, before: float, *, dry_run: bool = False) -> Pruned:
    """Remove tasks that ended before a time, and files that nobody has any more and that are older than that.

    Args:
        state_dir: The state folder.
        before: Seconds since the epoch.
        dry_run: Whether only to count.

    Raises:
        MalboxError: Something cannot be removed; what was until then is gone.
    """
    with LedgerPruner(state_dir, before) as ledger:
        tasks, results, size = ledger.count() if dry_run else ledger.remove()
        until = min(before, time.time() - GRACE_SECONDS) if ledger.is_in_use else before
        try:
            for name, is_needed in ((OBJECTS, ledger.has_result), (SAMPLES, ledger.has_sample)):
                size += _prune_files(state_dir / name, until, is_needed, dry_run=dry_run)
            size += _prune_legacy(state_dir / LEGACY, before, dry_run=dry_run)
        except OSError as error:
            raise MalboxError(f"cannot remove {error.filename or state_dir}: {error.strerror}") from error
        if not dry_run:
            ledger.tidy()
    return Pruned(tasks, results, size)


def _prune_files(folder: Path, until: float, is_needed: Callable[[str], bool], *, dry_run: bool) -> int:
    size = 0
    if not dry_run:
        _put_back_what_was_left(folder)
    for file in _files_in(folder / TMP):
        size += _remove_old(file, until, dry_run=dry_run)
    for below in _folders_in(folder):
        if below.name == TMP:
            continue
        for file in _files_in(below):
            with suppress(FileNotFoundError):
                status = file.stat()
                if status.st_mtime >= until or is_needed(file.name):
                    continue
                if dry_run or _remove_object(folder, file, until, is_needed):
                    size += status.st_size
    return size


def _remove_object(folder: Path, file: Path, until: float, is_needed: Callable[[str], bool]) -> bool:
    """Remove a file, unless somebody came to need it since it was looked at; return whether it is gone.

    Raises:
        OSError: It cannot be removed.
    """
    aside = folder / TMP / f"{ASIDE}{file.name}"
    make_folder(aside.parent)
    file.rename(aside)
    # Who stores that content from now on finds none, and makes it. Who did so before has given it a new time.
    if aside.stat().st_mtime >= until or is_needed(file.name):
        _put_back(folder, aside)
        return False
    aside.unlink()
    return True


def _put_back(folder: Path, aside: Path) -> None:
    target = object_path(folder, aside.name.removeprefix(ASIDE))
    with suppress(FileExistsError):  # it was made once more
        os.link(aside, target)
    aside.unlink()


def _put_back_what_was_left(folder: Path) -> None:
    """Undo what one that was killed had only half done: it may have been about to put them back."""
    for file in _files_in(folder / TMP):
        if file.name.startswith(ASIDE):
            with suppress(FileNotFoundError):
                _put_back(folder, file)


def _remove_old(file: Path, until: float, *, dry_run: bool) -> int:
    with suppress(FileNotFoundError):
        status = file.stat()
        if status.st_mtime < until:
            if not dry_run:
                file.unlink()
            return status.st_size
    return 0


def _prune_legacy(folder: Path, before: float, *, dry_run: bool) -> int:
    size = 0
    for run in _folders_in(folder):
        statuses = [path.lstat() for path in (run, *run.rglob("*"))]
        if max(status.st_mtime for status in statuses) < before:
            size += sum(path.lstat().st_size for path in run.rglob("*") if path.is_file())
            if not dry_run:
                shutil.rmtree(run)
    if not dry_run:
        with suppress(OSError):  # there is something in it, or there is none
            folder.rmdir()
    return size


def _folders_in(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))


def _files_in(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
