"""The open tasks of a supervisor, their plugins, and how what becomes of them is written down and told."""

from collections import Counter
from collections.abc import Mapping

from malbox_cli.control.records import Ended, Outcome, Record
from malbox_cli.output.text import human_size
from malbox_cli.store.entries import Entry, TaskAdded, TaskEnded
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor.actions import Action, Emit, Write
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.pools import Pool
from malbox_cli.supervisor.tasks import Task

__all__ = ["TaskBoard", "what_arrived"]

_STATE_OF = {outcome: TaskState[outcome.name] for outcome in Outcome}


class TaskBoard:
    """What the parts that decide about tasks share. What is to be done is appended to `out`.

    Args:
        plugins: The plugins' processes by id, to look at.
        out: Where the actions go.

    Attributes:
        pools: The plugins by their names in the manifest.
        tasks: The open tasks by number.
        open_of: How many of them each plugin has.
        exclusive: The pools beside whose tasks nothing else runs.
    """

    def __init__(self, plugins: Mapping[str, PluginRecord], out: list[Action]) -> None:
        self.plugins = plugins
        self.out = out
        self.pools: dict[str, Pool] = {}
        self.tasks: dict[int, Task] = {}
        self.open_of: Counter[str] = Counter()
        self.exclusive: list[Pool] = []
        self._of_client: dict[int, dict[int, Task]] = {}
        for plugin in plugins.values():
            self.adopt(plugin)

    def adopt(self, plugin: PluginRecord) -> None:
        """Take in a plugin's process."""
        name = plugin.spec.pool
        pool = self.pools.get(name)
        if pool is None:
            pool = self.pools[name] = Pool(name)
        pool.workers[plugin.id] = plugin
        self.look_at_specs()

    def forget(self, plugin: PluginRecord) -> None:
        """Let go of a process that has no task any more."""
        pool = self.pools[plugin.spec.pool]
        del pool.workers[plugin.id]
        if not pool.workers:
            del self.pools[plugin.spec.pool]
        self.look_at_specs()

    def look_at_specs(self) -> None:
        """Take note of what the manifest says of the plugins by now."""
        self.exclusive = [pool for pool in self.pools.values() if pool.is_exclusive]

    def add(self, task: Task) -> None:
        """Take in a task."""
        self.tasks[task.id] = task
        self.open_of[task.plugin] += 1
        for client in task.listeners:
            self.listens(client, task)

    def listens(self, client: int, task: Task) -> None:
        """Take note that a client gets a task's records."""
        self._of_client.setdefault(client, {})[task.id] = task

    def without_listener(self, client: int) -> list[Task]:
        """Let a client get no records any more, and return the tasks whose records it got."""
        tasks = list(self._of_client.pop(client, {}).values())
        for task in tasks:
            task.listeners.remove(client)
        return tasks

    def pool_of(self, task: Task) -> Pool:
        """Return the plugin that a task is for."""
        return self.pools[task.plugin]

    def write(self, entry: Entry) -> None:
        """Put something in the ledger."""
        self.out.append(Write(entry))

    def tell(self, task: Task, record: Record) -> None:
        """Hand a record of a task to everybody who gets them."""
        for client in task.listeners:
            self.out.append(Emit(client, record))

    def write_added(self, task: Task) -> None:
        """Put a task that was taken in the ledger."""
        task.is_kept = True
        self.write(
            TaskAdded(
                task.id,
                task.plugin,
                task.version,
                task.sample,
                task.sha256,
                task.size,
                task.fingerprint or None,
                task.copy,
                task.config,
                task.timeout,
                task.priority,
                task.is_detached,
                task.retry_of,
            )
        )

    def end(self, task: Task, outcome: Outcome, error: str | None, now: float) -> None:
        """End a task, which no process works on any more."""
        if not task.is_kept:
            self.write_added(task)
        task.move(_STATE_OF[outcome])
        self.release(task)
        self._count(task, outcome)
        seconds = now - (task.created_at if task.sent_at is None else task.sent_at)
        partial = outcome is not Outcome.COMPLETED and task.result_count > 0
        self.write(TaskEnded(task.id, task.state, error, seconds, partial))
        self.tell(task, Ended(task.id, task.plugin, outcome, error, seconds, partial))

    def release(self, task: Task) -> None:
        """Keep a task in mind no longer."""
        del self.tasks[task.id]
        self.open_of[task.plugin] -= 1
        for client in task.listeners:
            of_client = self._of_client[client]
            del of_client[task.id]
            if not of_client:
                del self._of_client[client]

    def _count(self, task: Task, outcome: Outcome) -> None:
        pool = self.pool_of(task)
        worker = pool.workers.get(task.worker) or pool.any_worker
        match outcome:
            case Outcome.COMPLETED:
                worker.counts.completed += 1
            case Outcome.CANCELED:
                worker.counts.canceled += 1
            case _:
                worker.counts.failed += 1


def what_arrived(task: Task) -> str:
    """Return what had arrived of a task's results, as the end of a sentence; empty where nothing had."""
    attempt = task.attempt
    if attempt is None:
        return ""
    parts = []
    if count := attempt.results + attempt.storing:
        parts.append(f"{count} result{'s' if count > 1 else ''} arrived before")
    if attempt.unfinished is not None:
        name, received, total = attempt.unfinished
        parts.append(f"result {name!r} was cut off after {human_size(received)} of {human_size(total)}")
    return "".join(f"; {part}" for part in parts)
