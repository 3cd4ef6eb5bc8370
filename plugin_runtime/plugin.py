"""The class that a plugin's author derives from."""

from collections.abc import Coroutine

from plugin_runtime.context import Context
from plugin_runtime.event import Event
from plugin_runtime.health import HealthStatus

__all__ = ["Handled", "Plugin"]

Handled = Coroutine[object, object, None] | None
"""What a handler returns: nothing, at once or (an ``async def``) later."""


class Plugin:
    """A plugin: override the handlers you need. Any of them may be ``async def``.

    All handlers run on one thread, one after the other, so what `on_start` made can be used in `on_task` as it is.

    Unless the manifest says that the plugin works on several tasks at once: then `on_task` runs on several threads side
    by side, and what they share needs a lock. An ``async def on_task`` runs side by side with others on one event loop,
    which is that of every other coroutine of the plugin, too. The other handlers stay on one thread, one after the
    other: `on_start` before the first task, `on_event` and `health_check` also while tasks run, `on_stop` after the
    last task has ended.
    """

    def on_start(self, config: dict[str, str]) -> Handled:
        """Prepare: called once, before the first task, with the plugin's configuration. Raising ends the process."""

    def on_task(self, ctx: Context) -> Handled:
        """Analyse one sample. Raising fails this task, with the traceback as its error, and the plugin lives on.

        Where several tasks run at once, a coroutine whose task is cancelled gets `asyncio.CancelledError` where it
        awaits. Otherwise, and on a thread, a handler sees it by `ctx.cancelled` or is told by what it pushes.
        """

    def on_event(self, event: Event) -> Handled:
        """React to an event of the supervisor, or to a result of a plugin that is subscribed to. Raising is logged.

        A result is an event of kind ``"PluginResultAvailable"``; `Event.data`, `Event.json` and `Event.path` read it,
        while the handler runs.
        """

    def on_stop(self) -> Handled:
        """Clean up: called once, after the last task. Raising is logged."""

    def health_check(self) -> "HealthStatus | Coroutine[object, object, HealthStatus]":
        """Say whether the plugin can do its work, as far as that can be told at once.

        The supervisor asks every `health_interval` (30 s by default) once the plugin is READY, and shows what is not
        healthy with its reason. The check has its turn on the handlers' thread: while a task runs the question waits,
        and while the check runs tasks do, so keep it short. With several tasks at once neither waits for the other.
        Raising counts as unhealthy, with the exception as the reason.
        """
        return HealthStatus.Healthy()
