"""The threads of a plugin that works on several tasks at once."""

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeVar

from plugin_runtime.channel import TaskChannel
from plugin_runtime.event_loop import EventLoopThread
from plugin_runtime.handlers import Handlers, HandlerThread
from plugin_runtime.workers import Workers

if TYPE_CHECKING:
    from plugin_runtime.context import Context

__all__ = ["ParallelHandlers"]

T = TypeVar("T")


class ParallelHandlers(Handlers):
    """Runs tasks side by side and the other handlers in order; what is to be awaited goes to one event loop.

    Args:
        concurrency: How many tasks run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self._ordered = HandlerThread()
        self._workers = Workers(concurrency)
        self._event_loop = EventLoopThread()

    @property
    def is_running(self) -> bool:  # noqa: D102 - said in the interface
        return self._ordered.is_running or self._workers.is_running or self._event_loop.is_running

    def start(self) -> None:  # noqa: D102 - said in the interface
        self._ordered.start()

    def submit(self, job: Callable[[], None]) -> None:  # noqa: D102 - said in the interface
        self._ordered.submit(job)

    def submit_task(self, job: Callable[[], None]) -> None:  # noqa: D102 - said in the interface
        self._workers.submit(job)

    def wait_for_tasks(self) -> None:  # noqa: D102 - said in the interface
        self._workers.wait_until_idle()

    def finish(self, timeout: float) -> bool:  # noqa: D102 - said in the interface
        give_up_at = time.monotonic() + timeout
        # In this order: each may still need the one after it. All are told, also where one does not end in time.
        ended = [
            each.finish(max(0.0, give_up_at - time.monotonic()))
            for each in (self._ordered, self._workers, self._event_loop)
        ]
        return all(ended)

    def call(self, handler: Callable[..., T | Awaitable[T]], *arguments: object) -> T:  # noqa: D102 - said in the interface
        answer = handler(*arguments)
        if answer is not None and isawaitable(answer):
            result: T = self._event_loop.run(answer)
            return result
        return answer

    def call_task(self, channel: TaskChannel, handler: Callable[["Context"], object], context: "Context") -> None:  # noqa: D102 - said in the interface
        answer = handler(context)
        if answer is None or not isawaitable(answer):
            return
        from asyncio import CancelledError

        try:
            self._event_loop.run_task(answer, channel.when_asked_to_end, channel.notice)
        except CancelledError:
            channel.check()  # raises what the task ends with, where it was asked to end
            raise
