"""The one thread on which all of a plugin's handlers run, sync and async ones alike."""

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from inspect import iscoroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["HandlerThread", "describe", "report_to_stderr"]

T = TypeVar("T")


class HandlerThread:
    """Runs jobs one after the other on a thread of its own.

    The thread is a daemon: a handler that never returns does not keep the process from ending.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="malbox-handlers", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job. It has to deal with its own exceptions."""
        self._jobs.put(job)

    def finish(self, timeout: float) -> bool:
        """Let the thread end after the jobs it has; return whether it did within `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def call(self, handler: Callable[..., T | Coroutine[Any, Any, T]], *arguments: object) -> T:
        """Call a handler on this thread and return what it returns; await it on the process's one event loop."""
        answer = handler(*arguments)
        if iscoroutine(answer):
            return self._event_loop().run_until_complete(answer)  # type: ignore[no-any-return]
        return answer  # type: ignore[return-value] # what is no coroutine is a T

    def _event_loop(self) -> "asyncio.AbstractEventLoop":
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


def describe(error: BaseException) -> str:
    """Return an author's exception with its traceback, without the runtime's own frames at its beginning."""
    if isinstance(error, SystemExit):
        return (
            f"the handler called sys.exit({error.code!r}): a plugin ends when malbox tells it to, a task by returning"
        )
    trace: TracebackType | None = error.__traceback__
    own_folder = __file__.rpartition("/")[0]
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(own_folder):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    return "".join(lines).rstrip("\n")


def report_to_stderr(text: str) -> None:
    """Write a line to where the plugin's log goes; a standard error that is closed is no reason to fail."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return
