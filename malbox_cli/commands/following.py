"""Following plugins until they are where a command wants them."""

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from malbox_cli.output.text import safe

if TYPE_CHECKING:
    from malbox_cli.control.client import ControlClient
    from malbox_cli.control.news import PluginNews

__all__ = [
    "EXIT_TIMEOUT",
    "READY",
    "TO_BE_READY",
    "TO_BE_STOPPED",
    "TO_BE_UP",
    "Followed",
    "Goal",
    "answer_time",
    "follow",
    "give_up_time",
    "tell_of",
]

EXIT_TIMEOUT = 124
READY = frozenset({"READY", "IDLE"})
"""Those from which a task is taken at once, a process being there for it or not."""
OVER = frozenset({"STOPPED", "EXITED", "FAILED", "REMOVED"})


@dataclass(frozen=True, slots=True)
class Goal:
    """Where plugins are wanted.

    Attributes:
        reached: The states that are good enough.
        missed: The states from which they will not get there by themselves.
        words: How to say it.
    """

    reached: frozenset[str]
    missed: frozenset[str]
    words: str


TO_BE_READY = Goal(READY, OVER, "READY")
TO_BE_UP = Goal(READY | {"DEGRADED"}, OVER, "READY")
TO_BE_STOPPED = Goal(OVER, frozenset(), "stopped")


@dataclass(slots=True)
class Followed:
    """How it went; each plugin is in exactly one of the three.

    Attributes:
        reached: The plugins that are where they were wanted.
        missed: Those that will not get there.
        waiting: Those that were on their way when the time was over.
    """

    reached: "list[PluginNews]" = field(default_factory=list)
    missed: "list[PluginNews]" = field(default_factory=list)
    waiting: "list[PluginNews]" = field(default_factory=list)


def give_up_time(timeout: float | None) -> float | None:
    """Return when a time limit in seconds is over, by the monotonic clock; None: never."""
    return None if timeout is None else time.monotonic() + timeout


def answer_time(give_up_at: float | None) -> float:
    """Return how many seconds an answer of the supervisor may take: no longer than the time limit, but long enough."""
    from malbox_cli.control.client import ANSWER_SECONDS, LOOK_SECONDS

    if give_up_at is None:
        return ANSWER_SECONDS
    return min(max(give_up_at - time.monotonic(), LOOK_SECONDS), ANSWER_SECONDS)


def follow(
    client: "ControlClient",
    plugin_ids: Collection[str] | None,
    goal: Goal,
    give_up_at: float | None,
    on_news: "Callable[[PluginNews], None] | None" = None,
) -> Followed:
    """Wait until each plugin has reached the goal or missed it, or the time is over.

    Args:
        client: The supervisor.
        plugin_ids: Which; None for all that it has. One that it does not have counts as removed.
        goal: Where they are wanted.
        give_up_at: When to give up, by the monotonic clock; None: never.
        on_news: Called with what is said of each of them.

    Raises:
        SupervisorSilent: The supervisor does not answer.
        SupervisorLost: It ended meanwhile.
        MalboxError: It is of another version.
    """
    from malbox_cli.control.news import PluginNews, SupervisorNews

    last: dict[str, PluginNews] = {}
    wanted = None if plugin_ids is None else set(plugin_ids)
    with suppress(TimeoutError):
        for news in client.watch(give_up_at):
            if isinstance(news, SupervisorNews):
                wanted = set(news.plugins) if wanted is None else wanted
                for gone in wanted - set(news.plugins) - last.keys():
                    last[gone] = PluginNews(news.time, gone, "REMOVED", "the supervisor does not have it", news.time)
            elif wanted is not None and news.plugin in wanted:
                last[news.plugin] = news
                if on_news is not None:
                    on_news(news)
            if wanted == last.keys() and all(each.state in goal.reached | goal.missed for each in last.values()):
                break
    for unheard in (wanted or set()) - last.keys():
        last[unheard] = PluginNews(time.time(), unheard, "PENDING", "the time was over before it was told", time.time())
    return _sorted_by_fate(last.values(), goal)


def _sorted_by_fate(news: "Iterable[PluginNews]", goal: Goal) -> Followed:
    followed = Followed()
    for each in news:
        if each.state in goal.reached:
            followed.reached.append(each)
        elif each.state in goal.missed:
            followed.missed.append(each)
        else:
            followed.waiting.append(each)
    return followed


def tell_of(followed: Followed, goal: Goal, timeout: float | None) -> None:
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
