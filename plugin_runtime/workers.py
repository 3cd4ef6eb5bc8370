"""The threads on which the tasks of a plugin with many at once run."""

import queue
import threading
import time
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """Runs jobs side by side, on no more than `count` threads; a thread is made when a job finds none that is free.

    The threads are daemons: a handler that never returns does not keep the process from ending.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition(threading.Lock())
        self._unfinished = 0

    @property
    def is_running(self) -> bool:
        """Whether a thread has been started and has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job. It has to deal with its own exceptions. For one thread only."""
        with self._changed:
            self._unfinished += 1
            is_short = len(self._threads) < min(self._unfinished, self._count)
        if is_short:
            thread = threading.Thread(target=self._run, name=f"malbox-task-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def wait_until_idle(self) -> None:
        """Wait until every job that was queued has ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unfinished)

    def finish(self, timeout: float) -> bool:
        """Let the threads end after the jobs there are; return whether they did within `timeout` seconds."""
        give_up_at = time.monotonic() + timeout
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        return not self.is_running

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            job = None  # what a task held is not held until the next one
            with self._changed:
                self._unfinished -= 1
                if not self._unfinished:
                    self._changed.notify_all()
