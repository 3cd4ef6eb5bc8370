"""Decides what becomes of tasks: takes them, hands them to processes of their plugins, and ends each of them once."""

from collections.abc import Mapping

from malbox_cli.control.records import Accepted, Outcome, TaskWarning
from malbox_cli.manifest.units import format_duration
from malbox_cli.store.entries import AttemptEnded, AttemptOutcome, Noted, Requeued
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor.actions import AbandonResults, Action, CloseTask, Grant, Say, SendCancel, SendTask
from malbox_cli.supervisor.board import TaskBoard, what_arrived
from malbox_cli.supervisor.dispatcher import Dispatcher
from malbox_cli.supervisor.entrance import Entrance
from malbox_cli.supervisor.events import (
    IdsReserved,
    ResultNotStored,
    ResultStored,
    SampleRead,
    SamplesChecked,
    Submit,
)
from malbox_cli.supervisor.intake import Intake
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.pools import Pool
from malbox_cli.supervisor.task_rules import kind_of_end, poison, rest_before_next
from malbox_cli.supervisor.tasks import Attempt, Task
from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import Piece

__all__ = ["TaskDesk"]


class TaskDesk:
    """The tasks of one supervisor.

    Every method appends what is to be done to `out`.

    Args:
        plugins: The plugins' processes by id.
        out: Where the actions go.
        keeps_tasks: Whether a supervisor after this one takes up the tasks that it leaves.
    """

    def __init__(self, plugins: Mapping[str, PluginRecord], out: list[Action], *, keeps_tasks: bool) -> None:
        self._keeps_tasks = keeps_tasks
        self.board = TaskBoard(plugins, out)
        self._entrance = Entrance(self.board)
        self._plugins = plugins
        self._out = out
        self._intake = Intake(out)
        self._dispatcher = Dispatcher(self.board)

    @property
    def unused_ids(self) -> range:
        """The numbers that were reserved for tasks last and that no task has."""
        return self._entrance.ids.unused

    @property
    def is_empty(self) -> bool:
        """Whether every task has ended, or was left to the next supervisor."""
        return not self.board.tasks

    # Taking tasks.

    def submit(self, event: Submit, now: float) -> None:
        """Take a task, let it wait for room, or refuse it."""
        self._entrance.submit(event, now)

    def sample_read(self, event: SampleRead, now: float) -> None:
        """Queue a task whose sample was read: a plugin's tasks run in the order in which their samples were."""
        task = self._reading(event.task_id)
        if task is None:
            return  # it was cancelled meanwhile
        task.sha256, task.size, task.fingerprint, task.copy = event.sha256, event.size, event.fingerprint, event.copy
        task.checked_at = now
        pool = self.board.pool_of(task)
        pool.reading -= 1
        self.board.write_added(task)
        self.board.tell(task, Accepted(task.id, task.plugin, task.sample, event.sha256))
        if pool.is_gone:
            self.board.end(task, Outcome.FAILED, pool.where_it_stands(), now)
            return
        self._dispatcher.queue(task)
        self._dispatch(pool, now)
        if isinstance(self._out[-1], SendTask):
            # Before what is written down and told of it: its plugin works on it meanwhile.
            self._out.insert(0, self._out.pop())

    def sample_unreadable(self, task_id: int, error: str, now: float) -> None:
        """End a task whose sample cannot be read."""
        if (task := self._reading(task_id)) is not None:
            self._end_unsent(task, Outcome.FAILED, error, now)

    def samples_checked(self, event: SamplesChecked, now: float) -> None:
        """Let those have their turn whose samples are as they were, and end the others."""
        self._dispatcher.checked(event.unchanged, now)
        for task_id, why in event.changed:
            task = self.board.tasks.get(task_id)
            if task is not None and task.state is TaskState.QUEUED:
                self._end_unsent(task, Outcome.FAILED, why, now)
        self.dispatch_all(now)

    def adopt_open(self, task: Task) -> None:
        """Take in a task that is in the ledger, and that waits for its turn."""
        self.board.add(task)
        self._dispatcher.queue(task)

    def end_open(self, task: Task, outcome: Outcome, why: str, now: float) -> None:
        """End a task that waits for its turn."""
        self._end_unsent(task, outcome, why, now)

    # Sending tasks, and what they say.

    def dispatch(self, plugin: PluginRecord, now: float) -> None:
        """Send what can be sent now that a process takes tasks."""
        self._dispatch(self.board.pools[plugin.spec.pool], now)

    def dispatch_all(self, now: float) -> None:
        """Send what can be sent."""
        for pool in self.board.pools.values():
            self._dispatch(pool, now)

    def _dispatch(self, pool: Pool, now: float) -> None:
        self._dispatcher.dispatch(pool, now)
        if pool.waiting:
            self._entrance.let_in(pool, now)

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
        plugin = self._plugins[task.worker]
        why = f"plugin {plugin.id} broke the protocol: {error}"
        self._out.append(Say("error", f"task {task.id}: {why}"))
        if _attempt_of(task).ending is None and plugin.knows("cancel"):
            self._out.append(SendCancel(task.id, plugin.id))
        self._finish(task, Outcome.FAILED, why, now)

    def stored(self, event: ResultStored, now: float) -> None:
        """Announce a result that is on disk."""
        task = self.board.tasks.get(event.task_id)
        if task is not None and task.attempt is not None:
            self._intake.stored(task, event)
            self._settle(task, now)

    def not_stored(self, event: ResultNotStored, now: float) -> None:
        """Take note of a result that is lost: its task cannot end well."""
        task = self.board.tasks.get(event.task_id)
        if task is not None and task.attempt is not None:
            self._intake.not_stored(task, event)
            self._settle(task, now)

    # Ending tasks.

    def cancel(self, task_id: int, why: str, now: float, outcome: Outcome = Outcome.CANCELED) -> None:
        """Ask a task to end: at once if it has not been sent, else by its plugin, else with its plugin's process."""
        task = self.board.tasks.get(task_id)
        if task is None:
            return
        attempt = task.attempt
        if attempt is None:
            self._end_unsent(task, outcome, why, now)
        elif attempt.is_answered:
            # It is over but for its results; only one that would be tried again has not ended yet.
            if attempt.is_lost or attempt.interruption:
                attempt.is_lost, attempt.interruption = False, ""
                attempt.ending, attempt.error = outcome, why
        elif attempt.ending is None:
            attempt.ending, attempt.error = outcome, why
            attempt.interruption = ""
            if outcome is Outcome.CANCELED:
                self.board.write(Noted(task.id, "cancel", why))
            self._ask_to_end(task, attempt, now)

    def follow(self, client: int, task_id: int) -> None:
        """Let a client have the records of a task from now on."""
        if (task := self.board.tasks.get(task_id)) is not None and client not in task.listeners:
            task.listeners.append(client)
            self.board.listens(client, task)

    def client_left(self, client: int, now: float) -> None:
        """Ask the tasks of a client that went away to end, but for those that go on without it."""
        self._entrance.forget(client)
        for task in self.board.without_listener(client):
            if task.client == client and not task.is_detached:
                self.cancel(task.id, "whoever sent it went away", now)

    def interrupt(self, plugin: PluginRecord, why: str, now: float) -> None:
        """Ask the tasks to end that a process works on; they go on when there is another one."""
        for task in list(plugin.running.values()):
            attempt = _attempt_of(task)
            if attempt.ending is None and not attempt.interruption:
                attempt.interruption = why
                self._ask_to_end(task, attempt, now)

    def drop(self, plugin: PluginRecord, now: float) -> None:
        """Ask the tasks of a plugin to end whose last process is not in the manifest any more."""
        pool = self.board.pools[plugin.spec.pool]
        if all(worker.leaves for worker in pool.workers.values()):
            why = f"plugin {pool.name} is not in the manifest any more"
            self._entrance.turn_away(pool, why)
            for task in [task for task in self.board.tasks.values() if task.plugin == pool.name]:
                self.cancel(task.id, why, now)

    def has_tasks_of(self, plugin: PluginRecord) -> bool:
        """Return whether a process has a task that has not ended, or its plugin if it is the last."""
        pool = self.board.pools[plugin.spec.pool]
        if len(pool.workers) == 1:
            return self.board.open_of[pool.name] > 0
        return any(task.worker == plugin.id and task.attempt is not None for task in self.board.tasks.values())

    def give_up(self, why: str, now: float) -> None:
        """End the tasks whose results are still on their way to disk, as failed."""
        for task in list(self.board.tasks.values()):
            if task.attempt is not None and task.attempt.is_answered:
                task.result_count, task.attempt = task.attempt.results, None
                self.board.write(AttemptEnded(task.id, task.attempts, "failed", why))
                self.board.end(task, Outcome.FAILED, why, now)

    def close(self, why: str, now: float) -> None:
        """Take no more tasks. Those whose senders wait are asked to end; the others go on with the next supervisor."""
        self._entrance.closed = why
        for pool in self.board.pools.values():
            self._entrance.turn_away(pool, why)
        for task in list(self.board.tasks.values()):
            if not self._is_left(task):
                self.cancel(task.id, why, now)
            elif task.attempt is None:
                self._leave(task)
        for plugin in self._plugins.values():
            self.interrupt(plugin, why, now)

    def _leave(self, task: Task) -> None:
        """Leave a task that waits as it is in the ledger, for the next supervisor."""
        self._take_out(task)
        self.board.release(task)

    def plugin_ended(self, plugin: PluginRecord, why: str, now: float) -> None:
        """End the attempts that a process was working on, and those tasks that nobody will do any more."""
        running = list(plugin.running.values())
        was_stuck = any(_attempt_of(task).is_stuck for task in running)
        for task in running:
            attempt = _attempt_of(task)
            if attempt.ending is None and not attempt.interruption:
                if was_stuck:
                    attempt.interruption = f"plugin {plugin.id} {why}, because of another task"
                else:
                    attempt.is_lost = True
            error = f"plugin {plugin.id} {why} during the task{what_arrived(task)}"
            self._finish(task, Outcome.FAILED, error, now)
        self.board.look_at_specs()
        pool = self.board.pools[plugin.spec.pool]
        if pool.is_gone:
            self._entrance.turn_away(pool, pool.where_it_stands())
            for task in [*pool.queue, *pool.resting.values()]:
                self._end_unsent(task, Outcome.FAILED, f"plugin {plugin.id} {why}; the task was not sent", now)

    # The ledger.

    def numbered(self, event: IdsReserved, now: float) -> None:
        """Take numbers for further tasks."""
        self._entrance.ids.reserved(event.first, event.count)
        for pool in self.board.pools.values():
            self._entrance.let_in(pool, now)

    def stuck(self, reason: str) -> None:
        """Take and send nothing while nothing can be written down."""
        self._entrance.stuck, self._dispatcher.is_held = reason, True
        self._out.append(Say("error", f"{reason}; no task is taken or sent until it can be written to"))

    def well(self, now: float) -> None:
        """Go on."""
        self._entrance.stuck, self._dispatcher.is_held = None, False
        self._out.append(Say("info", "the ledger can be written to again: tasks go on"))
        self.dispatch_all(now)

    # Time.

    def tick(self, now: float) -> list[str]:
        """Cancel what takes too long, try again what rested; return the processes whose handler ignored a cancel."""
        stuck = []
        for plugin in self._plugins.values():
            for task in list(plugin.running.values()):
                attempt = _attempt_of(task)
                if task.times_out_at is not None and task.times_out_at <= now:
                    self.cancel(task.id, f"took longer than {format_duration(task.timeout or 0)}", now, Outcome.TIMEOUT)
                elif attempt.kill_at is not None and attempt.kill_at <= now:
                    attempt.kill_at, attempt.is_stuck = None, True
                    stuck.append(plugin.id)
        for pool in self.board.pools.values():
            for task in list(pool.resting.values()):
                if task.rests_until is not None and task.rests_until <= now:
                    self._wake(pool, task)
                    self._dispatch(pool, now)
        return list(dict.fromkeys(stuck))

    def deadlines(self) -> list[float]:
        """Return when `tick` has something to do."""
        times = []
        for plugin in self._plugins.values():
            for task in plugin.running.values():
                times += [time for time in (task.times_out_at, _attempt_of(task).kill_at) if time is not None]
        for pool in self.board.pools.values():
            times += [task.rests_until for task in pool.resting.values() if task.rests_until is not None]
        return times

    # The ways of a task.

    def _running(self, task_id: int) -> Task | None:
        task = self.board.tasks.get(task_id)
        return task if task is not None and task.attempt is not None and not task.attempt.is_answered else None

    def _reading(self, task_id: int) -> Task | None:
        task = self.board.tasks.get(task_id)
        return task if task is not None and task.is_unread else None

    def _ask_to_end(self, task: Task, attempt: Attempt, now: float) -> None:
        plugin = self._plugins[task.worker]
        if attempt.kill_at is None:
            attempt.kill_at = now + plugin.spec.cancel_grace
            if plugin.knows("cancel"):
                self._out.append(SendCancel(task.id, plugin.id))

    def _take_out(self, task: Task) -> None:
        """Let a task that no process works on wait for nothing any more."""
        pool = self.board.pool_of(task)
        if task.is_unread:
            pool.reading -= 1
        elif pool.resting.pop(task.id, None) is None:
            pool.queue.remove(task)
        task.rests_until = None

    def _end_unsent(self, task: Task, outcome: Outcome, why: str, now: float) -> None:
        self._take_out(task)
        self.board.end(task, outcome, why, now)
        pool = self.board.pool_of(task)
        if pool.waiting:
            self._entrance.let_in(pool, now)

    def _finish(self, task: Task, outcome: Outcome, error: str | None, now: float) -> None:
        """Let go of a task that is with its plugin; it ends once its results are stored.

        A task that was asked to end has ended for that reason, however its plugin puts it, unless it was done before
        it noticed. A task whose time was over is never completed.
        """
        attempt = _attempt_of(task)
        if attempt.ending is not None and (outcome is Outcome.FAILED or attempt.ending is Outcome.TIMEOUT):
            outcome, error = attempt.ending, attempt.error
        plugin = self._plugins[task.worker]
        del plugin.running[task.id]
        self._out.append(CloseTask(task.id))
        if attempt.unfinished is not None:
            self._out.append(AbandonResults(task.id))
            attempt.unfinished = None
        attempt.ending, attempt.error, attempt.kill_at, attempt.is_answered = outcome, error, None, True
        self._settle(task, now)
        self.dispatch(plugin, now)

    def _settle(self, task: Task, now: float) -> None:
        """End an attempt that is over and whose results are stored: with it its task, or that is tried again."""
        attempt = _attempt_of(task)
        if not attempt.is_answered or attempt.storing:
            return
        assert attempt.ending is not None
        outcome, error = attempt.ending, attempt.error
        if outcome is Outcome.COMPLETED and attempt.lost:
            outcome, error = Outcome.FAILED, "; ".join(attempt.lost)
        kind = kind_of_end(attempt, outcome)
        task.result_count, task.attempt = attempt.results, None
        task.losses += kind == "lost"
        task.failures += kind == "failed"
        self.board.write(AttemptEnded(task.id, task.attempts, kind, attempt.interruption or error))
        if self._goes_on_elsewhere(task, kind):
            self.board.write(Requeued(task.id))
            self.board.release(task)
            return
        rest = rest_before_next(task, kind, self.board.pool_of(task).spec.retries)
        if rest is not None and self._can_go_on(task, attempt):
            self._try_again(task, attempt.interruption or error or "", rest, now)
            return
        if kind == "interrupted":
            outcome, error = Outcome.CANCELED, attempt.interruption
        elif kind == "lost":
            error = f"{error}{poison(task)}"
        self.board.end(task, outcome, error, now)

    def _goes_on_elsewhere(self, task: Task, kind: AttemptOutcome) -> bool:
        """Whether a task is left to the next supervisor."""
        return self._entrance.closed is not None and kind == "interrupted" and self._is_left(task)

    def _is_left(self, task: Task) -> bool:
        return self._keeps_tasks and task.is_detached and task.is_kept

    def _can_go_on(self, task: Task, attempt: Attempt) -> bool:
        # What the disk did not take is not the plugin's fault, and would not be taken the next time.
        return self._entrance.closed is None and not self.board.pool_of(task).is_going and not attempt.lost

    def _try_again(self, task: Task, why: str, rest: float, now: float) -> None:
        pool = self.board.pool_of(task)
        task.move(TaskState.QUEUED)
        void = ", and what it pushed is void" if task.result_count else ""
        when = f"in {rest:g} s" if rest else "as soon as its plugin can"
        text = f"{why}; it is tried again {when}{void}"
        task.result_count = 0
        self.board.write(Requeued(task.id))
        self.board.write(Noted(task.id, "retry", text))
        self.board.tell(task, TaskWarning(task.id, text))
        pool.resting[task.id] = task
        task.rests_until = now + rest
        if not rest:
            self._wake(pool, task)

    def _wake(self, pool: Pool, task: Task) -> None:
        del pool.resting[task.id]
        task.rests_until = None
        self._dispatcher.queue(task)


def _attempt_of(task: Task) -> Attempt:
    assert task.attempt is not None, f"nobody works on task {task.id}"
    return task.attempt
