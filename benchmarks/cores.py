"""Which core a process runs on.

Two processes that take turns are woken in 20 microseconds on one core and in 80 on two, of which one has gone idle, and
once the kernel has put them one way it leaves them so: without a say in it, chance decides what a benchmark shows.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["PLACES", "place"]

PLACES = ("apart", "together", "free")
"""Ours on one core and the others on another; all on one core; wherever the kernel puts them."""


def place(where: str, others: Iterable[int]) -> None:
    """Put this process, and the `others`, where one of `PLACES` says."""
    cores = sorted(os.sched_getaffinity(0))
    if where == "free":
        return
    _pin(os.getpid(), cores[0])
    for pid in others:
        _pin(pid, cores[-1] if where == "apart" else cores[0])


def _pin(pid: int, core: int) -> None:
    for task in Path("/proc", str(pid), "task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has just ended
            os.sched_setaffinity(int(task.name), {core})
