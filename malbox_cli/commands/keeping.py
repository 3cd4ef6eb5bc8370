"""What the commands of the ledger share: how they name tasks."""

import hashlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from plugin_runtime.errors import MalboxError

__all__ = [
    "digest_of",
    "task_argument",
    "tasks_argument",
]

F = TypeVar("F", bound=Callable[..., Any])
LARGEST_TASK = 2**31 - 1
"""What a task's number is on the wire: 32 bits with a sign."""


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
