"""Following plugins until they are where they are wanted."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from malbox_cli.control.news import News, PluginNews, SupervisorNews

__all__ = ["READY", "TO_BE_READY", "TO_BE_STOPPED", "TO_BE_UP", "Followed", "Goal", "Pursuit", "follow"]

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

    reached: list[PluginNews] = field(default_factory=list)
    missed: list[PluginNews] = field(default_factory=list)
    waiting: list[PluginNews] = field(default_factory=list)


class Watched(Protocol):
    """A supervisor that tells what changes."""

    def watch(self, give_up_at: float | None = None) -> Iterator[News]:
        """Yield how everything is and then what changes."""


class Pursuit:
    """What is known of plugins on their way, from what is told of them.

    Args:
        plugin_ids: Which; None for all that the supervisor has. One that it does not have counts as removed.
        goal: Where they are wanted.
        on_news: Called with what is said of each of them.
    """

    def __init__(
        self, plugin_ids: Collection[str] | None, goal: Goal, on_news: Callable[[PluginNews], None] | None = None
    ) -> None:
        self._wanted = None if plugin_ids is None else set(plugin_ids)
        self._goal = goal
        self._on_news = on_news
        self._last: dict[str, PluginNews] = {}

    def take(self, news: News) -> bool:
        """Take what is told; return whether every plugin has reached the goal or missed it."""
        last = self._last
        if isinstance(news, SupervisorNews):
            self._wanted = set(news.plugins) if self._wanted is None else self._wanted
            for gone in self._wanted - set(news.plugins) - last.keys():
                last[gone] = PluginNews(news.time, gone, "REMOVED", "the supervisor does not have it", news.time)
        elif self._wanted is not None and news.plugin in self._wanted:
            last[news.plugin] = news
            if self._on_news is not None:
                self._on_news(news)
        over = self._goal.reached | self._goal.missed
        return self._wanted == last.keys() and all(each.state in over for each in last.values())

    def end(self, now: float) -> Followed:
        """Return how it went; `now` is in seconds since the epoch."""
        for unheard in (self._wanted or set()) - self._last.keys():
            self._last[unheard] = PluginNews(now, unheard, "PENDING", "the time was over before it was told", now)
        followed = Followed()
        for each in self._last.values():
            if each.state in self._goal.reached:
                followed.reached.append(each)
            elif each.state in self._goal.missed:
                followed.missed.append(each)
            else:
                followed.waiting.append(each)
        return followed


def follow(
    client: Watched,
    plugin_ids: Collection[str] | None,
    goal: Goal,
    give_up_at: float | None,
    on_news: Callable[[PluginNews], None] | None = None,
) -> Followed:
    """Wait until each plugin has reached the goal or missed it, or the time is over.

    Args:
        client: The supervisor.
        plugin_ids: As for `Pursuit`.
        goal: As for `Pursuit`.
        give_up_at: When to give up, by the monotonic clock; None: never.
        on_news: As for `Pursuit`.

    Raises:
        SupervisorSilent: The supervisor does not answer.
        SupervisorLost: It ended meanwhile.
        MalboxError: It is of another version.
    """
    pursuit = Pursuit(plugin_ids, goal, on_news)
    with suppress(TimeoutError):
        for news in client.watch(give_up_at):
            if pursuit.take(news):
                break
    return pursuit.end(time.time())
