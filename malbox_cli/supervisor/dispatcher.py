"""Decides which task is sent to which process, and when: in order, as many as may run beside each other."""

from collections.abc import Iterable
from itertools import islice

from malbox_cli.store.entries import AttemptBegan
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor.actions import CheckSamples, SendTask, Write
from malbox_cli.supervisor.board import TaskBoard
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.pools import Pool
from malbox_cli.supervisor.tasks import Attempt, Task
from plugin_runtime.wire.messages import TaskRequest

__all__ = ["FRESH_SECONDS", "Dispatcher"]

FRESH_SECONDS = 2.0
"""How long a sample that was looked at counts as unchanged."""

LOOK_AHEAD = 16
"""How many tasks are looked at, of those that are next, for one that a process has room for; and samples together."""


class Dispatcher:
    """Sends the tasks of a board.

    Args:
        board: The tasks.

    Attributes:
        is_held: Whether nothing is sent: it could not be written down.
    """

    def __init__(self, board: TaskBoard) -> None:
        self.is_held = False
        self._board = board
        self._last_order = 0

    def queue(self, task: Task) -> None:
        """Let a task wait for its turn, behind those of its priority."""
        self._last_order += 1
        task.order = self._last_order
        self._board.pool_of(task).queue.push(task)

    def dispatch(self, pool: Pool, now: float) -> None:
        """Send what can be sent of a plugin's tasks; of all of them where some may not run beside others."""
        if self.is_held:
            return
        exclusive = self._board.exclusive
        if not exclusive:
            self._dispatch(pool, now)
            return
        # Those that run beside others first: what came before an exclusive task is not passed over by it.
        for each in sorted(self._board.pools.values(), key=lambda each: each.is_exclusive):
            self._dispatch(each, now)

    def dispatch_all(self, now: float) -> None:
        """Send what can be sent."""
        for pool in self._board.pools.values():
            self.dispatch(pool, now)

    def _dispatch(self, pool: Pool, now: float) -> None:
        while pool.queue and (found := self._next(pool)) is not None:
            task, worker = found
            if task.fingerprint and now - task.checked_at > FRESH_SECONDS:
                self._check(pool, task, now)
                return
            self._send(pool, task, worker, now)

    def _next(self, pool: Pool) -> tuple[Task, PluginRecord] | None:
        """Return the next task for which there is a process, and that."""
        for task in islice(pool.queue, LOOK_AHEAD):
            if not self._may_run(pool, task):
                return None
            worker = pool.worker_for(task)
            if worker is not None:
                return task, worker
            if task.is_suspect or not pool.has_free_worker:
                return None  # the next one is not to take the process from it that it waits for
        return None

    def _may_run(self, pool: Pool, task: Task) -> bool:
        """Whether nothing speaks against a task but the room in its own plugin's processes."""
        exclusive = self._board.exclusive
        if not exclusive:
            return True
        busy = self._board.pools.values() if pool.is_exclusive else exclusive
        if any(each.is_busy for each in busy):
            return False
        others = (each.queue.first() for each in exclusive if each is not pool and each.takes_tasks)
        return not any(first is not None and _is_before(first, task) for first in others)

    def _check(self, pool: Pool, task: Task, now: float) -> None:
        """Have the samples of the next tasks looked at that were not for a while."""
        if task.is_being_checked:
            return
        stale = [
            each
            for each in islice(pool.queue, LOOK_AHEAD)
            if each.fingerprint and not each.is_being_checked and now - each.checked_at > FRESH_SECONDS / 2
        ]
        for each in stale:
            each.is_being_checked = True
        self._board.out.append(CheckSamples(tuple((each.id, each.path, each.fingerprint) for each in stale)))

    def checked(self, task_ids: Iterable[int], now: float) -> None:
        """Take note that the samples of tasks are as they were."""
        for task_id in task_ids:
            if (task := self._board.tasks.get(task_id)) is not None:
                task.is_being_checked, task.checked_at = False, now

    def _send(self, pool: Pool, task: Task, worker: PluginRecord, now: float) -> None:
        pool.queue.remove(task)
        task.move(TaskState.RUNNING)
        task.attempts += 1
        task.attempt = Attempt()
        task.worker, task.sent_at = worker.id, now
        worker.running[task.id] = task
        worker.served += 1
        self._board.out += (
            Write(AttemptBegan(task.id, task.attempts, worker.id)),
            SendTask(task.id, worker.id, TaskRequest(task.path, tuple(task.config.items()))),
        )


def _is_before(first: Task, second: Task) -> bool:
    return (-first.priority, first.order) < (-second.priority, second.order)
