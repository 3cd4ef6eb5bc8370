"""Decides which tasks are taken: now, once there is room in the queue, or not at all."""

from malbox_cli.control.records import Refused
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.supervisor.actions import Emit, ReadSample
from malbox_cli.supervisor.board import TaskBoard
from malbox_cli.supervisor.events import Submit
from malbox_cli.supervisor.pools import Pool
from malbox_cli.supervisor.task_ids import TaskIds
from malbox_cli.supervisor.tasks import Task

__all__ = ["MAX_WAITING", "Entrance"]

MAX_WAITING = 1000
"""Submissions of one plugin that may wait for room in its queue."""


class Entrance:
    """Where tasks come in. What is to be done is appended to the board's actions.

    Args:
        board: The open tasks.

    Attributes:
        ids: The numbers of tasks.
        closed: Why no task is taken any more; None: they are.
        stuck: Why none is taken just now; None: they are.
    """

    def __init__(self, board: TaskBoard) -> None:
        self.ids = TaskIds(board.out)
        self.closed: str | None = None
        self.stuck: str | None = None
        self._board = board

    def submit(self, event: Submit, now: float) -> None:
        """Take a task, let it wait for room, or refuse it."""
        pool = self._board.pools.get(event.plugin_id)
        if pool is None:
            known = did_you_mean(event.plugin_id, self._board.pools)
            self._refuse(event, f"there is no plugin {event.plugin_id!r}{known}")
        elif (refusal := self._refusal(event, pool)) is not None:
            self._refuse(event, refusal)
        elif event.waits and (pool.waiting or not pool.has_room or self.ids.are_used_up):
            pool.waiting.append(event)
        else:
            self._take(event, pool, now)

    def let_in(self, pool: Pool, now: float) -> None:
        """Take those that waited for room, as far as there is some."""
        while pool.waiting and pool.has_room and not self.ids.are_used_up and self.stuck is None:
            self._take(pool.waiting.popleft(), pool, now)

    def turn_away(self, pool: Pool, why: str) -> None:
        """Refuse those that wait for room."""
        while pool.waiting:
            self._refuse(pool.waiting.popleft(), why)

    def forget(self, client: int) -> None:
        """Let nothing wait for room that a client sent which has gone."""
        for pool in self._board.pools.values():
            if any(event.client == client for event in pool.waiting):
                stay = [event for event in pool.waiting if event.client != client]
                pool.waiting.clear()
                pool.waiting.extend(stay)

    def _refuse(self, event: Submit, why: str) -> None:
        self._board.out.append(Emit(event.client, Refused(event.plugin_id, why)))

    def _refusal(self, event: Submit, pool: Pool) -> str | None:
        if self.closed is not None:
            return self.closed
        if pool.is_gone:
            return pool.where_it_stands()
        if self.stuck is not None:
            return f"the ledger cannot be written to, so that no task is taken: {self.stuck}"
        if event.waits:
            too_many = len(pool.waiting) >= MAX_WAITING
            return f"{MAX_WAITING} tasks wait for room in its queue already" if too_many else None
        if self.ids.are_used_up:
            return "the ledger has given no number for it yet; try again in a moment"
        if not pool.has_room:
            return (
                f"the queue of plugin {pool.name} is full: {pool.load} tasks wait (queue_size); "
                "send it later, or with --wait"
            )
        return None

    def _take(self, event: Submit, pool: Pool, now: float) -> None:
        spec = pool.spec
        task = Task(
            id=self.ids.take(),
            client=event.client,
            plugin=pool.name,
            version=next((worker for worker in pool.workers.values() if worker.hello), pool.any_worker).version,
            sample=event.sample,
            config={**spec.config, **event.config},
            timeout=event.timeout if event.timeout is not None else spec.task_timeout,
            created_at=now,
            priority=event.priority,
            is_detached=event.is_detached,
            retry_of=event.retry_of,
            listeners=[event.client],
        )
        self._board.add(task)
        pool.reading += 1
        self._board.out.append(ReadSample(task.id, task.sample))
