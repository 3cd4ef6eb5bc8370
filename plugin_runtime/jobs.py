"""What the handlers' threads run: each of the plugin's handlers, with what becomes of its author's exceptions."""

from collections.abc import Callable
from dataclasses import dataclass

from plugin_runtime.channel import TaskChannel
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import TransportError
from plugin_runtime.event import Event
from plugin_runtime.handlers import Handlers, describe, report_to_stderr
from plugin_runtime.lifecycle import LifecycleEvent
from plugin_runtime.plugin import Plugin
from plugin_runtime.sink import ForSubscribers
from plugin_runtime.task_runner import TaskRunner
from plugin_runtime.wire.messages import EventMessage, Execute

__all__ = ["Fatal", "PluginJobs"]


@dataclass(frozen=True, slots=True)
class Fatal:
    """Something after which the process cannot do its work."""

    message: str


class PluginJobs:
    """The jobs. None of them raises: an author's exception is logged, and the loop is told what it has to know.

    Args:
        plugin: Whose handlers to run.
        handlers: The threads that run them, and all of this.
        environment: What the process was told.
        publish: Sends an event of the plugin.
        tell: Tells the loop.
        subscribers: Who gets the results beside the supervisor, if anybody.
    """

    def __init__(
        self,
        plugin: Plugin,
        handlers: Handlers,
        environment: PluginEnvironment,
        publish: Callable[[EventMessage], None],
        tell: Callable[[LifecycleEvent | Fatal], None],
        subscribers: ForSubscribers | None = None,
    ) -> None:
        self._plugin = plugin
        self._handlers = handlers
        self._config = environment.config
        self._publish = publish
        self._tell = tell
        self._runner = TaskRunner(plugin, handlers, environment, self, publish, subscribers)
        self._was_started = False

    def start(self) -> None:
        """Run `on_start`."""
        self._was_started = self._call("on_start", self._plugin.on_start, dict(self._config))
        self._tell(LifecycleEvent.STARTED if self._was_started else LifecycleEvent.START_FAILED)

    def stop(self) -> None:
        """Run `on_stop`, if `on_start` went well, once every task has ended."""
        if self._was_started:
            self._handlers.wait_for_tasks()
            self._call("on_stop", self._plugin.on_stop)
            self._tell(LifecycleEvent.STOPPED)

    def run_task(self, execute: Execute, channel: TaskChannel) -> None:
        """Run a task to its end."""
        try:
            self._runner.run(execute, channel)
        except TransportError as error:
            self._tell(Fatal(f"cannot say how task {execute.task_id} ended: {error}"))

    def run_event(self, event: Event) -> None:
        """Run `on_event`."""
        self._call(f"on_event({event.kind})", self._plugin.on_event, event)

    def publish(self, event: Event) -> None:
        """Publish an event of this plugin; for its context."""
        self._publish(event.to_message())

    def log_warning(self, message: str) -> None:
        """Write a warning where the plugin's log goes; for its context."""
        report_to_stderr(f"warning: {message}", "warning")

    def _call(self, what: str, handler: Callable[..., object], *arguments: object) -> bool:
        """Call a handler; return whether it went well."""
        try:
            self._handlers.call(handler, *arguments)
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            report_to_stderr(f"{what} failed: {describe(error)}")
            return False
        return True
