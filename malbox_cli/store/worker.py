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
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def submit(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a job. It has to deal with its own exceptions."""
        self._jobs.put(partial(job, *args, **kwargs))

    def close(self) -> None:
        """Finish what was queued, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
