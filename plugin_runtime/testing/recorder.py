"""Stands between the runtime and a plugin, and keeps what its handlers raise, which the runtime makes text of."""

from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TypeVar, cast

from plugin_runtime.context import Context
from plugin_runtime.event import Event
from plugin_runtime.health import HealthStatus
from plugin_runtime.plugin import Handled, Plugin

__all__ = ["Recorder"]

T = TypeVar("T")


class Recorder(Plugin):
    """A plugin whose handlers are another one's.

    Args:
        plugin: The other one.
        wake: Called, on a handler's thread, when a handler has returned or raised.

    Attributes:
        raised: What a handler raised, by its name; of `on_task` by the task's number.
        events: How many calls of `on_event` have ended.
    """

    def __init__(self, plugin: Plugin, wake: Callable[[], None]) -> None:
        self.raised: dict[str | int, BaseException] = {}
        self.events = 0
        self._plugin = plugin
        self._wake = wake

    def on_start(self, config: dict[str, str]) -> Handled:  # noqa: D102 - said in the interface
        return self._watch("on_start", self._plugin.on_start, config)

    def on_task(self, ctx: Context) -> Handled:  # noqa: D102 - said in the interface
        return self._watch(ctx.task().id, self._plugin.on_task, ctx)

    def on_event(self, event: Event) -> Handled:  # noqa: D102 - said in the interface
        return self._watch("on_event", self._plugin.on_event, event)

    def on_stop(self) -> Handled:  # noqa: D102 - said in the interface
        return self._watch("on_stop", self._plugin.on_stop)

    def health_check(self) -> "HealthStatus | Coroutine[object, object, HealthStatus]":  # noqa: D102 - as above
        return self._watch("health_check", self._plugin.health_check)

    def _watch(self, key: str | int, handler: Callable[..., T], *arguments: object) -> T:
        try:
            answer = handler(*arguments)
        except BaseException as error:
            self._end(key, error)
            raise
        if isawaitable(answer):
            return cast("T", self._watch_later(key, answer))
        self._end(key, None)
        return answer

    async def _watch_later(self, key: str | int, answer: Awaitable[T]) -> T:
        try:
            value = await answer
        except BaseException as error:
            self._end(key, error)
            raise
        self._end(key, None)
        return value

    def _end(self, key: str | int, error: BaseException | None) -> None:
        if error is not None:
            self.raised[key] = error
        if key == "on_event":
            self.events += 1
        self._wake()
