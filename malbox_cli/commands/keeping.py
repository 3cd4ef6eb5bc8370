"""What the commands of the ledger share: how they name tasks and find what is kept of them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_reader import LedgerReader
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = [
    "NoSuchTask",
    "digest_of",
    "missing_results",
    "open_ledger",
    "require_ledger",
    "task_argument",
    "task_in",
    "tasks_argument",
]

F = TypeVar("F", bound=Callable[..., Any])
LARGEST_TASK = 2**31 - 1
"""What a task's number is on the wire: 32 bits with a sign."""


class NoSuchTask(MalboxError):
    """The ledger has no task of that number."""


def _number(ctx: click.Context, parameter: click.Parameter, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_TASK))):
        raise click.BadParameter(f"{text!r} is not the number of a task: `malbox tasks` lists them", ctx, parameter)
    return min(int(text), LARGEST_TASK)


def task_argument(function: F) -> F:
    """Add TASK, as a number."""
    return click.argument("task", callback=_number, metavar="TASK")(function)


def tasks_argument(function: F) -> F:
    """Add TASK..., as numbers, each once."""

    def numbers(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_number(ctx, parameter, text) for text in texts))

    return click.argument("tasks", nargs=-1, required=True, callback=numbers, metavar="TASK...")(function)


def require_ledger(manifest: "Location") -> None:
    """Check that a manifest's tasks are kept.

    Raises:
        MalboxError: They are not.
    """
    if not manifest.ledger:
        raise MalboxError(
            f"{manifest.path} keeps no ledger: [malbox] says `ledger = false`, so nothing is known of tasks that ended"
        )


def open_ledger(manifest: "Location") -> "LedgerReader":
    """Return a reader of the manifest's ledger.

    Raises:
        MalboxError: Its tasks are not kept.
    """
    from malbox_cli.store.ledger_reader import LedgerReader

    require_ledger(manifest)
    return LedgerReader(manifest.state_dir)


def task_in(ledger: "LedgerReader", manifest: "Location", task: int) -> "TaskRow":
    """Return a task.

    Raises:
        NoSuchTask: There is none of that number.
        LedgerError: The ledger cannot be read.
    """
    from malbox_cli.store.ledger_rows import TaskFilter

    row = ledger.task(task)
    if row is None:
        newest = ledger.tasks(TaskFilter(limit=1))
        there = f"the newest is task {newest[0].task}" if newest else f"no task was kept yet in {manifest.state_dir}"
        raise NoSuchTask(f"there is no task {task}: {there}")
    return row


def missing_results(paths: "Iterable[str | None]") -> list[str]:
    """Return which of the files of results are not there any more."""
    return [path for path in paths if path is not None and not Path(path).exists()]


def digest_of(path: str) -> str:
    """Return the SHA-256 of a sample, in hexadecimal.

    Raises:
        MalboxError: It cannot be read.
    """
    from malbox_cli.store.samples import open_regular_file

    try:
        with os.fdopen(open_regular_file(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MalboxError(f"cannot read the sample {path}: {error.strerror or error}") from error
