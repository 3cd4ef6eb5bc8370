"""Runs one task on a thread of the handlers: from the request to the frame and the event that end it."""

from collections.abc import Callable
from contextlib import suppress

from plugin_runtime.artifacts import Artifacts
from plugin_runtime.channel import TaskChannel
from plugin_runtime.context import Context, Publisher
from plugin_runtime.current_task import begin_task, end_task
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import SupervisorGone, TaskCancelled
from plugin_runtime.handlers import Handlers, describe, report_to_stderr
from plugin_runtime.plugin import Plugin
from plugin_runtime.sink import ForSubscribers
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import Frame, error_frame, final_frame
from plugin_runtime.wire.messages import EventKind, EventMessage, Execute

__all__ = ["TaskRunner"]

CANCELLED_MESSAGE = "the task was cancelled"


class TaskRunner:
    """Runs tasks, each on the thread that calls `run`.

    Args:
        plugin: Whose `on_task` to run.
        handlers: The threads that it is run on.
        environment: What the process was told.
        publisher: What an author's context publishes and warns through.
        publish: Sends the event that says how a task ended.
        subscribers: Who else gets the results, if anybody.
    """

    def __init__(
        self,
        plugin: Plugin,
        handlers: Handlers,
        environment: PluginEnvironment,
        publisher: Publisher,
        publish: Callable[[EventMessage], None],
        subscribers: ForSubscribers | None = None,
    ) -> None:
        self._plugin = plugin
        self._handlers = handlers
        self._publisher = publisher
        self._publish = publish
        self._artifact_base, self._collect = environment.artifacts, environment.collect
        self._is_alone = environment.concurrency == 1
        self._subscribers = subscribers
        self._extensions = environment.supervisor_knows_extensions
        self._file_ref_threshold = environment.file_ref_threshold if self._extensions else None

    def run(self, execute: Execute, channel: TaskChannel) -> None:
        """Run a task to its end, and say how it ended. What its handler raises does not get out.

        Raises:
            TransportError: The supervisor cannot be told how it ended.
        """
        validity = Validity("on_task")
        begin_task(execute.task_id, alone=self._is_alone)
        try:
            last, outcome = self._outcome(execute, channel, validity)
        finally:
            end_task()
            validity.end()
        if last is None:
            channel.close()
            return
        try:
            channel.send_last(last)
        except SupervisorGone as error:
            report_to_stderr(f"task {execute.task_id}: {error}")
        else:
            self._publish(EventMessage(outcome, associated_id=execute.task_id))

    def _outcome(self, execute: Execute, channel: TaskChannel, validity: Validity) -> tuple[Frame | None, EventKind]:
        """Run the handler; return the frame that ends the task, None where nobody waits for one, and the event."""
        task_id = execute.task_id
        artifacts = Artifacts(self._artifact_base, task_id, self._collect)
        try:
            channel.check()
            context = Context(
                execute,
                channel,
                self._publisher,
                validity,
                file_ref_threshold=self._file_ref_threshold,
                warnings_travel=self._extensions,
                artifacts=artifacts,
                subscribers=self._subscribers,
            )
            self._run_handler(channel, context, artifacts)
        except SupervisorGone:
            return None, EventKind.TASK_CANCELED
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            if isinstance(error, TaskCancelled) and channel.cancelled:
                return error_frame(task_id, CANCELLED_MESSAGE), EventKind.TASK_CANCELED
            return error_frame(task_id, describe(error)), EventKind.TASK_FAILED
        finally:
            artifacts.remove()
        if channel.was_noticed:
            return error_frame(task_id, CANCELLED_MESSAGE), EventKind.TASK_CANCELED
        if channel.cut_off is not None:
            return error_frame(task_id, channel.cut_off), EventKind.TASK_FAILED
        return final_frame(task_id), EventKind.TASK_COMPLETED

    def _run_handler(self, channel: TaskChannel, context: Context, artifacts: Artifacts) -> None:
        """Run the handler, and push what it left: also where it failed, for whoever looks for the reason."""
        try:
            self._handlers.call_task(channel, self._plugin.on_task, context)
        except Exception:
            if not channel.cancelled:
                with suppress(Exception, TaskCancelled):  # why it failed is of more use than why this did
                    self._collect_from(artifacts, context)
            raise
        self._collect_from(artifacts, context)

    def _collect_from(self, artifacts: Artifacts, context: Context) -> None:
        if left_out := artifacts.collect(context.results().collect_file):
            context.warn(left_out)
