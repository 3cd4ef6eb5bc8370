"""Where a plugin's handlers run: all on one thread, sync and async ones alike, unless it has many tasks at once."""

import os
import queue
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from plugin_runtime.log import report_to_stderr

if TYPE_CHECKING:
    import asyncio

    from plugin_runtime.channel import TaskChannel
    from plugin_runtime.context import Context

__all__ = ["HandlerThread", "Handlers", "describe", "last_line", "report_to_stderr"]

T = TypeVar("T")

_PASSED_OVER = (
    os.path.dirname(__file__) + os.sep,
    os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep,
)
"""Folders of code that calls an author's handlers: the runtime's, and that of the event loop of async ones."""


class Handlers(ABC):
    """The threads on which handlers run."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether a thread has been started and has not ended."""

    @abstractmethod
    def start(self) -> None:
        """Start the thread on which jobs run in order."""

    @abstractmethod
    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job behind those before it. It has to deal with its own exceptions."""

    @abstractmethod
    def submit_task(self, job: Callable[[], None]) -> None:
        """Queue the job that runs a task; several may run beside each other. It has to deal with its own exceptions."""

    @abstractmethod
    def wait_for_tasks(self) -> None:
        """Wait until the job of every task that was queued has ended; for a job that runs in order."""

    @abstractmethod
    def finish(self, timeout: float) -> bool:
        """Let the threads end after the jobs they have; return whether they did within `timeout` seconds."""

    @abstractmethod
    def call(self, handler: Callable[..., T | Awaitable[T]], *arguments: object) -> T:
        """Call a handler on this thread and return what it returns; await it on the process's one event loop."""

    @abstractmethod
    def call_task(self, channel: "TaskChannel", handler: Callable[["Context"], object], context: "Context") -> None:
        """Call the handler of a task as `call` does."""


class HandlerThread(Handlers):
    """Runs jobs one after the other on a thread of its own, those of tasks too.

    The thread is a daemon: a handler that never returns does not keep the process from ending.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="malbox-handlers", daemon=True)
        self._runner: asyncio.Runner | None = None

    @property
    def is_running(self) -> bool:  # noqa: D102 - said in the interface
        return self._thread.is_alive()

    def start(self) -> None:  # noqa: D102 - said in the interface
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:  # noqa: D102 - said in the interface
        self._jobs.put(job)

    submit_task = submit

    def wait_for_tasks(self) -> None:
        """Return: whoever runs on this thread has its turn after them."""

    def finish(self, timeout: float) -> bool:  # noqa: D102 - said in the interface
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def call(self, handler: Callable[..., T | Awaitable[T]], *arguments: object) -> T:  # noqa: D102 - said in the interface
        answer = handler(*arguments)
        if answer is not None and isawaitable(answer):
            result: T = self._event_loop().run(_awaited(answer))
            return result
        return answer

    def call_task(self, channel: "TaskChannel", handler: Callable[["Context"], object], context: "Context") -> None:  # noqa: D102 - said in the interface
        del channel
        self.call(handler, context)

    def _event_loop(self) -> "asyncio.Runner":
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            job = None  # what a task held is not held until the next one
        if self._runner is not None:
            self._runner.close()


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


def describe(error: BaseException) -> str:
    """Return an author's exception with its traceback, without the runtime's own frames at its beginning."""
    if isinstance(error, SystemExit):
        return (
            f"the handler called sys.exit({error.code!r}): a plugin ends when malbox tells it to, a task by returning"
        )
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PASSED_OVER):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")


def last_line(error: BaseException) -> str:
    """Return the line that an author's exception ends with, as the last of its traceback."""
    if isinstance(error, SystemExit):
        return describe(error)
    lines = "".join(traceback.format_exception_only(error)).split("\n")
    return next((line for line in reversed(lines) if line.strip()), type(error).__name__)
