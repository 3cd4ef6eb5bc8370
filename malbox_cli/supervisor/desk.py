"""Decides what becomes of tasks: takes them, hands them to their plugins, reads the answers, and ends each once."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Refused, Result, TaskWarning
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
    StoreFile,
    StorePiece,
)
from malbox_cli.supervisor.events import ResultNotStored, ResultStored, Submit
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.tasks import Task, TaskState
from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.codec import decode_error, decode_file_ref, decode_progress
from plugin_runtime.wire.messages import MAX_I32, DataFormat, Piece, ResponseKind, TaskRequest

__all__ = ["CANCEL_GRACE", "INLINE_JSON_BYTES", "TaskDesk"]

CANCEL_GRACE = 5.0
"""Seconds that a handler has to end after its task was cancelled, before its process is killed."""

INLINE_JSON_BYTES = 64 * 1024
"""Up to this size a JSON result is handed on in the record itself; a larger one, and any other, is stored."""

MAX_MESSAGE_BYTES = 1 << 20
"""How long a progress, an error or a path may be together where it comes in pieces."""

_STATE_OF = {outcome: TaskState[outcome.name] for outcome in Outcome}


class TaskDesk:
    """The tasks of one supervisor.

    Every method appends what is to be done to `out`.
    """

    def __init__(self, plugins: Mapping[str, PluginRecord], out: list[Action]) -> None:
        self._plugins = plugins
        self._out = out
        self._tasks: dict[int, Task] = {}
        self._last_id = 0

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
        if plugin.state.is_over and plugin.state is not PluginState.PENDING:
            why = f"plugin {plugin.id} is {plugin.state.value}: {plugin.reason}"
            self._emit(event.client, Refused(event.plugin_id, why))
            return
        self._last_id = self._last_id % MAX_I32 + 1
        task = Task(
            id=self._last_id,
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
        """Queue a task whose sample was read."""
        task = self._tasks.get(task_id)
        if task is None or task.state is not TaskState.READING:
            return  # it was cancelled meanwhile
        plugin = self._plugins[task.plugin_id]
        self._emit(task.client, Accepted(task.id, task.plugin_id, task.sample, sha256))
        if plugin.state.is_over and plugin.state is not PluginState.PENDING:
            self._end(task, Outcome.FAILED, f"plugin {plugin.id} is {plugin.state.value}: {plugin.reason}", now)
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
        """Send the plugin its next task, if it is READY and works on none."""
        if plugin.state is not PluginState.READY or plugin.running is not None or not plugin.queue:
            return
        task = self._tasks[plugin.queue.popleft()]
        plugin.running = task.id
        task.sent_at = now
        task.move(TaskState.RUNNING)
        self._out.append(SendTask(task.id, plugin.id, TaskRequest(task.sample, tuple(task.config.items()))))

    def send_failed(self, task_id: int, error: str, now: float) -> None:
        """End a task that could not be sent."""
        if (task := self._tasks.get(task_id)) is not None:
            self._finish(task, Outcome.FAILED, error, now)

    def said(self, piece: Piece, now: float) -> None:
        """Take one frame of a task's responses."""
        task = self._tasks.get(piece.task_id)
        if task is None or task.state is not TaskState.RUNNING:
            self._out.append(Grant(piece.task_id))
            return
        if piece.kind is ResponseKind.RESULT:
            self._take_result(task, piece)
            if piece.is_final:
                self._finish(task, Outcome.COMPLETED, None, now)
            return
        task.message += piece.data
        if len(task.message) > MAX_MESSAGE_BYTES:
            self.broken(task.id, f"a {piece.kind.name} of more than {MAX_MESSAGE_BYTES} bytes", now)
            return
        waits_for_copy = False
        if piece.is_last:
            message, task.message = bytes(task.message), bytearray()
            try:
                waits_for_copy = self._take_message(task, piece, message, now)
            except ProtocolError as error:
                self.broken(task.id, str(error), now)
                return
        if not piece.is_final and not waits_for_copy:
            self._out.append(Grant(task.id))
        elif piece.is_final and piece.kind is not ResponseKind.ERROR:
            self._finish(task, Outcome.COMPLETED, None, now)

    def broken(self, task_id: int, error: str, now: float) -> None:
        """End a task whose responses are not what the protocol allows."""
        task = self._tasks.get(task_id)
        if task is None or task.state is not TaskState.RUNNING:
            return
        plugin = self._plugins[task.plugin_id]
        why = f"plugin {plugin.id} broke the protocol: {error}"
        self._out.append(Say("error", f"task {task.id}: {why}"))
        if plugin.knows("cancel"):
            self._out.append(SendCancel(task.id, plugin.id))
        self._finish(task, Outcome.FAILED, why, now)

    def stored(self, event: ResultStored, now: float) -> None:
        """Announce a result that is on disk."""
        task = self._tasks.get(event.task_id)
        if task is None:
            return
        format_: Literal["json", "bytes", "file"] = event.format
        if not event.json_is_valid:
            self._emit(task.client, TaskWarning(task.id, f"result {event.name!r} says it is JSON and is not"))
            format_ = "bytes"
        result = Result(task.id, event.name, format_, event.size, event.sha256, data=None, path=event.path)
        self._one_less_to_store(task, result, now)

    def not_stored(self, event: ResultNotStored, now: float) -> None:
        """Take note of a result that is lost: its task cannot end well."""
        task = self._tasks.get(event.task_id)
        if task is None:
            return
        lost = f"result {event.name!r} could not be stored: {event.error}"
        task.lost.append(lost)
        self._one_less_to_store(task, TaskWarning(task.id, lost), now)

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

    def client_left(self, client: int, now: float) -> None:
        """Ask every task of a client that went away to end."""
        for task in list(self._tasks.values()):
            if task.client == client:
                self.cancel(task.id, "whoever sent it went away", now)

    def cancel_all(self, why: str, now: float) -> None:
        """Ask every task to end."""
        for task_id in list(self._tasks):
            self.cancel(task_id, why, now)

    def plugin_ended(self, plugin: PluginRecord, why: str, now: float, *, keep_queue: bool) -> None:
        """End the task that a plugin was working on, and those that waited for it if it does not come back."""
        if plugin.running is not None:
            task = self._tasks[plugin.running]
            if task.ending is None:
                outcome, error = Outcome.FAILED, f"plugin {plugin.id} {why} during the task{_what_arrived(task)}"
            else:
                outcome, error = task.ending, task.error or why
            self._finish(task, outcome, error, now)
        if not keep_queue:
            while plugin.queue:
                task = self._tasks[plugin.queue.popleft()]
                self._end(task, Outcome.FAILED, f"plugin {plugin.id} {why} before the task's turn came", now)

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

    def _take_result(self, task: Task, piece: Piece) -> None:
        if piece.is_final and not piece.name and not piece.total_size:
            return  # the end of a task that went well
        if (
            piece.is_first
            and piece.is_last
            and piece.format is DataFormat.JSON
            and piece.total_size <= INLINE_JSON_BYTES
        ):
            self._take_inline(task, piece)
            return
        received = piece.offset + len(piece.data)
        task.unfinished = None if piece.is_last else (piece.name, received, piece.total_size)
        if piece.is_last:
            self._hold_place(task)
        self._out.append(StorePiece(task.id, piece.name, piece.format, piece.data, piece.is_first, piece.is_last))

    def _take_inline(self, task: Task, piece: Piece) -> None:
        data = bytes(piece.data)
        try:
            value = json.loads(data)
        except ValueError:
            # A record's data is JSON; what only says so is kept as it is, as bytes.
            self._announce(task, TaskWarning(task.id, f"result {piece.name!r} says it is JSON and is not"))
            self._hold_place(task)
            self._out.append(StorePiece(task.id, piece.name, DataFormat.BYTES, data, is_first=True, is_last=True))
            return
        text = data.decode()
        if "\n" in text or "\r" in text:
            text = json.dumps(value, ensure_ascii=False)
        task.results += 1
        digest = hashlib.sha256(data).hexdigest()
        self._announce(task, Result(task.id, piece.name, "json", len(data), digest, data=text))
        if not piece.is_final:
            self._out.append(Grant(task.id))

    def _take_message(self, task: Task, piece: Piece, message: bytes, now: float) -> bool:
        """Take a progress, an error or a path; return whether its credit waits for a copy."""
        match piece.kind:
            case ResponseKind.PROGRESS:
                update = decode_progress(message)
                if update.warning:
                    self._announce(task, TaskWarning(task.id, update.warning))
                else:
                    self._emit(task.client, Progress(task.id, update.progress, update.message))
            case ResponseKind.FILE_REF:
                self._hold_place(task)
                self._out.append(StoreFile(task.id, piece.name, decode_file_ref(message)))
                return True
            case ResponseKind.ERROR:
                outcome, error = Outcome.FAILED, decode_error(message)
                if task.ending is not None:
                    outcome, error = task.ending, task.error or error
                self._finish(task, outcome, error, now)
            case _:
                pass  # Ready says nothing that PluginStarted does not
        return False

    def _finish(self, task: Task, outcome: Outcome, error: str | None, now: float) -> None:
        """Let go of a task that is with its plugin; it ends once its results are stored."""
        plugin = self._plugins[task.plugin_id]
        if outcome is Outcome.COMPLETED and task.ending is Outcome.TIMEOUT:
            outcome, error = task.ending, task.error
        if plugin.running == task.id:
            plugin.running = None
        self._out.append(CloseTask(task.id))
        if task.unfinished is not None:
            self._out.append(AbandonResults(task.id))
            task.unfinished = None
        task.ending, task.error, task.kill_at = outcome, error, None
        if task.storing:
            task.move(TaskState.STORING)
        else:
            self._end(task, outcome, error, now)
        self.dispatch(plugin, now)

    def _announce(self, task: Task, record: Result | TaskWarning) -> None:
        """Hand on a result or a warning, behind the results before it that are still on their way to disk."""
        if task.held:
            task.held.append(record)
        else:
            self._emit(task.client, record)

    def _hold_place(self, task: Task) -> None:
        task.storing += 1
        task.held.append(None)

    def _one_less_to_store(self, task: Task, record: Result | TaskWarning, now: float) -> None:
        """Hand on what became of the oldest result on its way to disk, and what waited behind it."""
        task.held.popleft()
        task.results += isinstance(record, Result)
        self._emit(task.client, record)
        while task.held and (waiting := task.held[0]) is not None:
            task.held.popleft()
            self._emit(task.client, waiting)
        task.storing -= 1
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


def _what_arrived(task: Task) -> str:
    parts = []
    if count := task.results + task.storing:
        parts.append(f"{count} result{'s' if count > 1 else ''} arrived before")
    if task.unfinished is not None:
        name, received, total = task.unfinished
        parts.append(f"result {name!r} was cut off after {human_size(received)} of {human_size(total)}")
    return "".join(f"; {part}" for part in parts)
