"""Following plugins until they are where a command wants them, and saying where they are not."""

import time
from typing import TYPE_CHECKING

import click

from malbox_cli.output.text import safe

if TYPE_CHECKING:
    from malbox_cli.client.following import Followed, Goal

__all__ = ["EXIT_TIMEOUT", "answer_time", "give_up_time", "tell_of"]

EXIT_TIMEOUT = 124


def give_up_time(timeout: float | None) -> float | None:
    """Return when a time limit in seconds is over, by the monotonic clock; None: never."""
    return None if timeout is None else time.monotonic() + timeout


def answer_time(give_up_at: float | None) -> float:
    """Return how many seconds an answer of the supervisor may take: no longer than the time limit, but long enough."""
    from malbox_cli.control.client import ANSWER_SECONDS, LOOK_SECONDS

    if give_up_at is None:
        return ANSWER_SECONDS
    return min(max(give_up_at - time.monotonic(), LOOK_SECONDS), ANSWER_SECONDS)


def tell_of(followed: "Followed", goal: "Goal", timeout: float | None) -> None:
    """Say on standard error which plugins are not where they were wanted, and why."""
    for each in followed.missed:
        click.echo(f"malbox: plugin {each.plugin} is {each.state}: {safe(each.reason)}", err=True)
        for line in each.last_lines:
            click.echo(f"  {safe(line)}", err=True)
    for each in followed.waiting:
        limit = "" if timeout is None else f" after {timeout:g} s"
        click.echo(
            f"malbox: plugin {each.plugin} is not {goal.words}{limit}: it is {each.state}: {safe(each.reason)}",
            err=True,
        )
