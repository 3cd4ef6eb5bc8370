"""Decides what becomes of tasks: takes them, hands them to their plugins, and ends each of them once."""

from collections.abc import Mapping

from malbox_cli.control.records import Accepted, Ended, Outcome, Record, Refused
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.units import format_duration
from malbox_cli.output.text import human_size
from malbox_cli.supervisor.actions import (
    AbandonResults,
    Action,
    CloseTask,
    Emit,
    Grant,
    ReadSample,
    Say,
    SendCancel,
    SendTask,
)
from malbox_cli.supervisor.events import ResultNotStored, ResultStored, Submit
from malbox_cli.supervisor.intake import Intake
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.tasks import Task, TaskState
from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import MAX_I32, Piece, TaskRequest

__all__ = ["CANCEL_GRACE", "TaskDesk"]

CANCEL_GRACE = 5.0
"""Seconds that a handler has to end after its task was cancelled, before its process is killed."""

_STATE_OF = {outcome: TaskState[outcome.name] for outcome in Outcome}


class TaskDesk:
    """The tasks of one supervisor.

    Every method appends what is to be done to `out`.
    """

    def __init__(self, plugins: Mapping[str, PluginRecord], out: list[Action]) -> None:
        self._plugins = plugins
        self._out = out
        self._intake = Intake(out)
        self._tasks: dict[int, Task] = {}
        self._last_id = 0
        self._closed: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every task has ended."""
        return not self._tasks

    def submit(self, event: Submit, now: float) -> None:
        """Take a task, or refuse it."""
        plugin = self._plugins.get(event.plugin_id)
        if plugin is None:
            known = did_you_mean(event.plugin_id, self._plugins)
            self._emit(event.client, Refused(event.plugin_id, f"there is no plugin {event.plugin_id!r}{known}"))
            return
        if self._closed is not None or plugin.is_gone:
            self._emit(event.client, Refused(event.plugin_id, self._closed or _where_it_stands(plugin)))
            return
        task = Task(
            id=self._next_id(),
            client=event.client,
            plugin_id=plugin.id,
            sample=event.sample,
            config={**plugin.spec.config, **event.config},
            timeout=event.timeout if event.timeout is not None else plugin.spec.task_timeout,
            created_at=now,
        )
        self._tasks[task.id] = task
        self._out.append(ReadSample(task.id, task.sample))

    def sample_read(self, task_id: int, sha256: str, now: float) -> None:
        """Queue a task whose sample was read: a plugin's tasks run in the order in which their samples were."""
        task = self._tasks.get(task_id)
        if task is None or task.state is not TaskState.READING:
            return  # it was cancelled meanwhile
        plugin = self._plugins[task.plugin_id]
        self._emit(task.client, Accepted(task.id, task.plugin_id, task.sample, sha256))
        if plugin.is_gone:
            self._end(task, Outcome.FAILED, _where_it_stands(plugin), now)
            return
        task.move(TaskState.QUEUED)
        plugin.queue.append(task.id)
        self.dispatch(plugin, now)

    def sample_unreadable(self, task_id: int, error: str, now: float) -> None:
        """End a task whose sample cannot be read."""
        task = self._tasks.get(task_id)
        if task is not None and task.state is TaskState.READING:
            self._end(task, Outcome.FAILED, error, now)

    def dispatch(self, plugin: PluginRecord, now: float) -> None:
        """Send the plugin its next task, if it takes tasks and works on none."""
        if not plugin.takes_tasks or plugin.running is not None or not plugin.queue:
            return
        task = self._tasks[plugin.queue.popleft()]
        plugin.running = task.id
        task.sent_at = now
        task.move(TaskState.RUNNING)
        self._out.append(SendTask(task.id, plugin.id, TaskRequest(task.sample, tuple(task.config.items()))))

    def send_failed(self, task_id: int, error: str, now: float) -> None:
        """End a task that could not be sent."""
        if (task := self._running(task_id)) is not None:
            self._finish(task, Outcome.FAILED, error, now)

    def said(self, piece: Piece, now: float) -> None:
        """Take one frame of a task's responses."""
        task = self._running(piece.task_id)
        if task is None:
            self._out.append(Grant(piece.task_id))
            return
        try:
            end = self._intake.take(task, piece)
        except ProtocolError as error:
            self.broken(task.id, str(error), now)
            return
        if end is not None:
            self._finish(task, end.outcome, end.error, now)

    def broken(self, task_id: int, error: str, now: float) -> None:
        """End a task whose responses are not what the protocol allows."""
        task = self._running(task_id)
        if task is None:
            return
        plugin = self._plugins[task.plugin_id]
        why = f"plugin {plugin.id} broke the protocol: {error}"
        self._out.append(Say("error", f"task {task.id}: {why}"))
        if task.ending is None and plugin.knows("cancel"):
            self._out.append(SendCancel(task.id, plugin.id))
        self._finish(task, Outcome.FAILED, why, now)

    def stored(self, event: ResultStored, now: float) -> None:
        """Announce a result that is on disk."""
        if (task := self._tasks.get(event.task_id)) is not None:
            self._intake.stored(task, event)
            self._end_if_stored(task, now)

    def not_stored(self, event: ResultNotStored, now: float) -> None:
        """Take note of a result that is lost: its task cannot end well."""
        if (task := self._tasks.get(event.task_id)) is not None:
            self._intake.not_stored(task, event)
            self._end_if_stored(task, now)

    def cancel(self, task_id: int, why: str, now: float, outcome: Outcome = Outcome.CANCELED) -> None:
        """Ask a task to end: at once if it has not been sent, else by its plugin, else with its plugin."""
        task = self._tasks.get(task_id)
        if task is None or task.ending is not None:
            return
        plugin = self._plugins[task.plugin_id]
        if task.state is not TaskState.RUNNING:
            if task.id in plugin.queue:
                plugin.queue.remove(task.id)
            self._end(task, outcome, why, now)
            return
        task.ending, task.error = outcome, why
        task.kill_at = now + CANCEL_GRACE
        if plugin.knows("cancel"):
            self._out.append(SendCancel(task.id, plugin.id))

    def cancel_running(self, plugin: PluginRecord, why: str, now: float) -> None:
        """Ask the task to end that a plugin works on."""
        if plugin.running is not None:
            self.cancel(plugin.running, why, now)

    def drop(self, plugin: PluginRecord, why: str, now: float) -> None:
        """Ask every task of a plugin to end."""
        for task in list(self._tasks.values()):
            if task.plugin_id == plugin.id:
                self.cancel(task.id, f"plugin {plugin.id} {why}", now)

    def has_tasks_of(self, plugin_id: str) -> bool:
        """Return whether a plugin has a task that has not ended."""
        return any(task.plugin_id == plugin_id for task in self._tasks.values())

    def give_up(self, why: str, now: float) -> None:
        """End the tasks whose results are still on their way to disk, as failed."""
        for task in list(self._tasks.values()):
            if task.state is TaskState.STORING:
                self._end(task, Outcome.FAILED, why, now)

    def client_left(self, client: int, now: float) -> None:
        """Ask every task of a client that went away to end."""
        for task in list(self._tasks.values()):
            if task.client == client:
                self.cancel(task.id, "whoever sent it went away", now)

    def close(self, why: str, now: float) -> None:
        """Take no more tasks, and ask every task that there is to end."""
        self._closed = why
        for task_id in list(self._tasks):
            self.cancel(task_id, why, now)

    def plugin_ended(self, plugin: PluginRecord, why: str, now: float, *, keep_queue: bool) -> None:
        """End the task that a plugin was working on, and those that waited for it if it does not come back."""
        if plugin.running is not None:
            task = self._tasks[plugin.running]
            self._finish(task, Outcome.FAILED, f"plugin {plugin.id} {why} during the task{_what_arrived(task)}", now)
        if not keep_queue:
            while plugin.queue:
                task = self._tasks[plugin.queue.popleft()]
                self._end(task, Outcome.FAILED, f"plugin {plugin.id} {why}; the task was not sent", now)

    def tick(self, now: float) -> list[str]:
        """Cancel what takes too long; return the plugins whose handler ignored that."""
        stuck = []
        for plugin in self._plugins.values():
            if plugin.running is None:
                continue
            task = self._tasks[plugin.running]
            if task.times_out_at is not None and task.times_out_at <= now:
                self.cancel(task.id, f"took longer than {format_duration(task.timeout or 0)}", now, Outcome.TIMEOUT)
            elif task.kill_at is not None and task.kill_at <= now:
                task.kill_at = None
                stuck.append(plugin.id)
        return stuck

    def deadlines(self) -> list[float]:
        """Return when `tick` has something to do."""
        times = []
        for plugin in self._plugins.values():
            if plugin.running is not None:
                task = self._tasks[plugin.running]
                times += [time for time in (task.times_out_at, task.kill_at) if time is not None]
        return times

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % MAX_I32 + 1
            if self._last_id not in self._tasks:
                return self._last_id

    def _running(self, task_id: int) -> Task | None:
        task = self._tasks.get(task_id)
        return task if task is not None and task.state is TaskState.RUNNING else None

    def _finish(self, task: Task, outcome: Outcome, error: str | None, now: float) -> None:
        """Let go of a task that is with its plugin; it ends once its results are stored.

        A task that was asked to end has ended for that reason, however its plugin puts it, unless it was done before
        it noticed. A task whose time was over is never completed.
        """
        if task.ending is not None and (outcome is Outcome.FAILED or task.ending is Outcome.TIMEOUT):
            outcome, error = task.ending, task.error
        plugin = self._plugins[task.plugin_id]
        plugin.running = None
        self._out.append(CloseTask(task.id))
        if task.unfinished is not None:
            self._out.append(AbandonResults(task.id))
            task.unfinished = None
        task.ending, task.error, task.kill_at = outcome, error, None
        task.move(TaskState.STORING)
        self._end_if_stored(task, now)
        self.dispatch(plugin, now)

    def _end_if_stored(self, task: Task, now: float) -> None:
        if task.state is TaskState.STORING and not task.storing:
            assert task.ending is not None
            self._end(task, task.ending, task.error, now)

    def _end(self, task: Task, outcome: Outcome, error: str | None, now: float) -> None:
        if outcome is Outcome.COMPLETED and task.lost:
            outcome, error = Outcome.FAILED, "; ".join(task.lost)
        task.move(_STATE_OF[outcome])
        del self._tasks[task.id]
        counts = self._plugins[task.plugin_id].counts
        match outcome:
            case Outcome.COMPLETED:
                counts.completed += 1
            case Outcome.CANCELED:
                counts.canceled += 1
            case _:
                counts.failed += 1
        seconds = now - (task.created_at if task.sent_at is None else task.sent_at)
        partial = outcome is not Outcome.COMPLETED and task.results > 0
        self._emit(task.client, Ended(task.id, task.plugin_id, outcome, error, seconds, partial))

    def _emit(self, client: int, record: Record) -> None:
        self._out.append(Emit(client, record))


def _where_it_stands(plugin: PluginRecord) -> str:
    return f"plugin {plugin.id} is {plugin.state.value}: {plugin.reason}"


def _what_arrived(task: Task) -> str:
    parts = []
    if count := task.results + task.storing:
        parts.append(f"{count} result{'s' if count > 1 else ''} arrived before")
    if task.unfinished is not None:
        name, received, total = task.unfinished
        parts.append(f"result {name!r} was cut off after {human_size(received)} of {human_size(total)}")
    return "".join(f"; {part}" for part in parts)
