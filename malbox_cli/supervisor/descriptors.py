"""How many descriptors the supervisor may have open: shared memory takes many of them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from malbox_cli.control.server import MAX_CLIENTS
from plugin_runtime.errors import MalboxError

__all__ = ["descriptors_for", "make_room", "room_for_descriptors"]

FOR_EACH_PLUGIN = 20
FOR_THE_REST = MAX_CLIENTS + 64
"""For commands that are connected, and for itself."""


def descriptors_for(plugins: int) -> int:
    """Return how many open descriptors a supervisor of so many plugins needs."""
    return FOR_EACH_PLUGIN * plugins + FOR_THE_REST


@contextmanager
def room_for_descriptors(plugins: int) -> Iterator[tuple[int, int]]:
    """Raise the soft limit on open descriptors during a block; yield what both limits were.

    Args:
        plugins: How many plugins there are to be room for.

    Raises:
        MalboxError: The hard limit is too low.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    make_room(plugins)
    try:
        yield before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def make_room(plugins: int) -> None:
    """Raise the soft limit on open descriptors to what so many plugins need.

    Raises:
        MalboxError: The hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_for(plugins)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MalboxError(
            f"{plugins} plugin(s) need {needed} open descriptors, and this process may have {hard}: "
            f"allow more with `ulimit -n {needed}`, or run fewer plugins"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
