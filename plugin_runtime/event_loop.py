"""The one event loop of a plugin with many tasks at once, on a thread of its own."""

import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context as Variables
from contextvars import copy_context
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, TypeVar

from plugin_runtime.current_task import own_task
from plugin_runtime.handlers import describe, report_to_stderr

if TYPE_CHECKING:
    import asyncio

__all__ = ["EventLoopThread"]

T = TypeVar("T")

Outcome = tuple[Any, BaseException | None]
"""What came of a coroutine: what it returned, or what it raised."""

Cancelling = Callable[[Callable[[], None] | None], None]
"""Takes what to call once the coroutine is to be cancelled, and None when it is over."""


class EventLoopThread:
    """Runs what handlers have to await, side by side. The thread is started by the first of them, and is a daemon.

    Any thread but its own may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._variables = copy_context()

    @property
    def is_running(self) -> bool:
        """Whether the thread has been started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def run(self, answer: Awaitable[T]) -> T:
        """Await `answer` and return what it returns; the context variables that it sets are seen by all after it."""
        return self._wait_for(answer, self._variables, None, None)

    def run_task(self, answer: Awaitable[T], cancelling: Cancelling, on_cancel: Callable[[], object]) -> T:
        """Await `answer`, with context variables of its own, until it is over or was cancelled.

        Args:
            answer: What to await.
            cancelling: Takes what cancels it, which any thread may call, once; and None when it is over.
            on_cancel: Called where it was cancelled in time, before it sees that.
        """
        variables = self._variables.copy()
        variables.run(own_task.set, own_task.get())
        return self._wait_for(answer, variables, cancelling, on_cancel)

    def finish(self, timeout: float) -> bool:
        """Cancel what still runs and let the thread end; return whether it did within `timeout` seconds."""
        thread = self._thread
        if thread is None:
            return True
        self._closing = True
        loop = self._running_loop()
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout)
        return not thread.is_alive()

    def _wait_for(
        self,
        answer: Awaitable[T],
        variables: Variables,
        cancelling: Cancelling | None,
        on_cancel: Callable[[], object] | None,
    ) -> T:
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        loop = self._running_loop()

        def begin() -> None:
            task = loop.create_task(_outcome_of(answer), context=variables)
            task.add_done_callback(partial(_hand_over, outcomes))
            if cancelling is not None:
                cancelling(partial(_call_soon, loop, cancel, task))

        def cancel(task: "asyncio.Task[Outcome]") -> None:
            if task.cancel() and on_cancel is not None:
                on_cancel()

        try:
            loop.call_soon_threadsafe(begin)
        except RuntimeError:  # it has ended, because somebody took too long to
            if iscoroutine(answer):
                answer.close()
            raise
        value, error = outcomes.get()
        if cancelling is not None:
            cancelling(None)
        if error is not None:
            try:
                raise error
            finally:
                error = None  # its traceback has this frame, and with it all that it names
        result: T = value
        return result

    def _running_loop(self) -> "asyncio.AbstractEventLoop":
        if self._loop is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="malbox-event-loop", daemon=True)
                    self._thread.start()
            self._ready.wait()
        assert self._loop is not None
        return self._loop

    def _run(self) -> None:
        import asyncio

        with asyncio.Runner() as runner:
            self._loop = loop = runner.get_loop()
            self._ready.set()
            while not self._closing:
                try:
                    loop.run_forever()
                except BaseException as error:  # noqa: BLE001 - sys.exit in what a handler left running
                    report_to_stderr(f"what a handler left running failed: {describe(error)}")


async def _outcome_of(answer: Awaitable[Any]) -> Outcome:
    try:
        return await answer, None
    except BaseException as error:  # noqa: BLE001 - an author's; some of them would end the event loop
        return None, error


def _hand_over(outcomes: "queue.SimpleQueue[Outcome]", task: "asyncio.Task[Outcome]") -> None:
    """Hand on what came of a coroutine; one that was cancelled before it began never ran."""
    try:
        outcomes.put(task.result())
    except BaseException as error:  # noqa: BLE001 - a CancelledError
        outcomes.put((None, error))


def _call_soon(loop: "asyncio.AbstractEventLoop", function: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - those of the function
    with suppress(RuntimeError):  # the event loop has ended, and everything on it was cancelled
        loop.call_soon_threadsafe(function, *arguments)
