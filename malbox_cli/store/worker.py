"""A thread that does one job after the other."""

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

__all__ = ["Worker"]

P = ParamSpec("P")


class Worker:
    """Runs jobs on a thread of its own, in the order in which they came.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        # A daemon, because nothing ends a thread that waits for a disk.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a job. It has to deal with its own exceptions."""
        self._jobs.put(partial(job, *args, **kwargs))

    def close(self, patience: float) -> bool:
        """Finish what was queued, and end the thread; return whether that is done within `patience` seconds."""
        self._jobs.put(None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
