"""The processes of one plugin, and the tasks that wait for one of them."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.events import Submit
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.tasks import Task
from plugin_runtime.wire.names import CREDIT_SLOTS

__all__ = ["PLAIN_IN_FLIGHT", "Pool", "TaskQueue"]

PLAIN_IN_FLIGHT = 4
"""Tasks that a plugin without our extensions is sent at once: a service of Malbox's own takes no more requests."""


class TaskQueue:
    """Tasks by priority, the highest first, and within one in the order in which they came."""

    def __init__(self) -> None:
        self._by_priority: dict[int, dict[int, Task]] = {}
        self._priorities: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Task]:
        for priority in self._priorities:
            yield from self._by_priority[priority].values()

    def push(self, task: Task) -> None:
        """Put a task behind those of its priority."""
        tasks = self._by_priority.get(task.priority)
        if tasks is None:
            tasks = self._by_priority[task.priority] = {}
            self._priorities = sorted(self._by_priority, reverse=True)
        tasks[task.id] = task
        self._length += 1

    def remove(self, task: Task) -> bool:
        """Take a task out; return whether it was in."""
        tasks = self._by_priority.get(task.priority)
        if tasks is None or tasks.pop(task.id, None) is None:
            return False
        self._length -= 1
        return True  # a priority that was used once is kept: they are few, and the next task will have it again

    def first(self) -> Task | None:
        """Return the task whose turn is next."""
        return next(iter(self), None)


@dataclass(slots=True)
class Pool:
    """One plugin of the manifest.

    Attributes:
        name: Its name there; tasks are sent to it.
        workers: Its processes by id; at least one.
        queue: The tasks that can be sent.
        resting: Those that are tried again later.
        reading: How many wait for their samples to be read.
        waiting: What is to be submitted once there is room in the queue.
    """

    name: str
    workers: dict[str, PluginRecord] = field(default_factory=dict)
    queue: TaskQueue = field(default_factory=TaskQueue)
    resting: dict[int, Task] = field(default_factory=dict)
    reading: int = 0
    waiting: deque[Submit] = field(default_factory=deque)

    @property
    def any_worker(self) -> PluginRecord:
        """One of its processes."""
        return next(iter(self.workers.values()))

    @property
    def spec(self) -> PluginSpec:
        """What the manifest says of it; its processes are alike."""
        return self.any_worker.spec

    @property
    def is_gone(self) -> bool:
        """Whether no task of it can be done any more."""
        return all(worker.is_gone for worker in self.workers.values())

    @property
    def is_going(self) -> bool:
        """Whether it is gone, or told to be, and not to come back."""
        return all(worker.is_gone or worker.stays_stopped for worker in self.workers.values())

    @property
    def load(self) -> int:
        """How many tasks wait."""
        return len(self.queue) + len(self.resting) + self.reading

    @property
    def has_room(self) -> bool:
        """Whether another task may wait."""
        return self.load < self.spec.queue_size

    @property
    def is_exclusive(self) -> bool:
        """Whether nothing else may run beside its tasks."""
        return self.spec.execution == "exclusive"

    @property
    def is_busy(self) -> bool:
        """Whether a process of it works on something."""
        return any(worker.running for worker in self.workers.values())

    @property
    def takes_tasks(self) -> bool:
        """Whether a process of it is up."""
        return any(worker.takes_tasks for worker in self.workers.values())

    @property
    def has_free_worker(self) -> bool:
        """Whether a process of it has room for some task, if not for any."""
        return any(worker.takes_tasks and len(worker.running) < capacity(worker) for worker in self.workers.values())

    def where_it_stands(self) -> str:
        """Return how it is, and why, for whoever sent a task to it."""
        return "; ".join(
            f"plugin {worker.id} is {worker.state.value}: {worker.reason}" for worker in self.workers.values()
        )

    def worker_for(self, task: Task) -> PluginRecord | None:
        """Return the least busy process that can be sent a task now."""
        best = None
        for worker in self.workers.values():
            if worker.takes_tasks and _has_room(worker, task) and (best is None or _busyness(worker) < _busyness(best)):
                best = worker
        return best


def _has_room(worker: PluginRecord, task: Task) -> bool:
    running = worker.running
    if not running:
        return worker.spec.state != "ephemeral" or not worker.served
    if task.is_suspect or len(running) >= capacity(worker):
        return False
    # One that is tried again has its process for itself. Credits are told apart by the number of their slot.
    slot = task.id % CREDIT_SLOTS
    return not any(other.is_suspect or other.id % CREDIT_SLOTS == slot for other in running.values())


def capacity(worker: PluginRecord) -> int:
    """Return how many tasks a process works on at once."""
    spec = worker.spec
    if spec.concurrency == 1 or spec.state == "ephemeral":
        return 1
    if worker.hello is None:
        return min(spec.concurrency, PLAIN_IN_FLIGHT)
    return spec.concurrency if worker.knows("parallel") else 1


def _busyness(worker: PluginRecord) -> tuple[int, int]:
    return len(worker.running), worker.served
