"""What a plugin's table says of its tasks: how many run at once, in which processes, and how often they are tried."""

from dataclasses import dataclass, field
from typing import cast, get_args

from malbox_cli.manifest.instances import MOST_INSTANCES
from malbox_cli.manifest.specs import (
    DEFAULT_CANCEL_GRACE,
    DEFAULT_QUEUE_SIZE,
    MAX_IN_FLIGHT,
    Execution,
    ProcessState,
    Retries,
)
from malbox_cli.manifest.table import Table

__all__ = ["HowTasksRun", "TaskKeys", "read_how_tasks_run", "read_task_keys"]

_MOST_QUEUED = 1_000_000
_MOST_RETRIES = 100
_SCOPE = 'an array of plugins\' ids such as ["unpack"]'
_RETRIES = "an integer such as 1, or a table such as { lost = 1, error = 0 }"


@dataclass(frozen=True, slots=True, kw_only=True)
class HowTasksRun:
    """The two keys that a manifest and a plugin.toml have in common; None where the file does not say.

    Attributes:
        execution: What may run beside a task.
        state: How long a process lives.
        wrong: Those that are there and were found wrong: nothing that follows from them is reported.
    """

    execution: Execution | None = None
    state: ProcessState | None = None
    wrong: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKeys:
    """The keys as they were read; what is absent, or was found wrong, has its default.

    Attributes:
        how: What may run beside a task, and how long a process lives.
        instances: How many processes there are.
        concurrency: How many tasks one of them works on at once; None if the table does not say.
        spare: Whether a process waits for the next task.
        scope: The plugins whose open tasks keep its process alive, as written; None if plugin.toml decides.
        queue_size: How many tasks may wait.
        retries: How often a task is tried again.
        cancel_grace: Seconds that a handler has to end after its task was cancelled.
    """

    how: HowTasksRun = field(default_factory=HowTasksRun)
    instances: int = 1
    concurrency: int | None = None
    spare: bool = False
    scope: tuple[str, ...] | None = None
    queue_size: int = DEFAULT_QUEUE_SIZE
    retries: Retries = field(default_factory=Retries)
    cancel_grace: float = DEFAULT_CANCEL_GRACE


def read_how_tasks_run(table: Table) -> HowTasksRun:
    """Return what a table says of execution and state, with whatever is wrong added to its findings."""
    execution = table.choice("execution", get_args(Execution))
    state = table.choice("state", get_args(ProcessState))
    values = {"execution": execution, "state": state}
    return HowTasksRun(
        execution=cast("Execution | None", execution),
        state=cast("ProcessState | None", state),
        wrong=frozenset(key for key, value in values.items() if value is None and table.has(key)),
    )


def read_task_keys(table: Table) -> TaskKeys:
    """Return what a plugin's table says of its tasks, with whatever is wrong added to its findings.

    Whether the keys go together is for whoever knows the plugin.toml as well.
    """
    instances = table.integer("instances", at_least=1, at_most=MOST_INSTANCES, example=2)
    how = read_how_tasks_run(table)
    queue_size = table.integer("queue_size", at_least=1, at_most=_MOST_QUEUED, example=DEFAULT_QUEUE_SIZE)
    cancel_grace = table.duration("cancel_grace", example="5s")
    scope = table.strings("scope", expected=_SCOPE)
    return TaskKeys(
        how=how,
        instances=instances or 1,
        concurrency=table.integer("concurrency", at_least=1, at_most=MAX_IN_FLIGHT, example=4),
        spare=table.boolean("spare") or False,
        scope=() if scope is None and table.has("scope") else scope,
        queue_size=DEFAULT_QUEUE_SIZE if queue_size is None else queue_size,
        retries=_retries(table),
        cancel_grace=DEFAULT_CANCEL_GRACE if cancel_grace is None else cancel_grace,
    )


def _retries(table: Table) -> Retries:
    default = Retries()
    if isinstance(table.data.get("retries"), dict) and (one := table.table("retries", example="")) is not None:
        lost = one.integer("lost", at_least=0, at_most=_MOST_RETRIES, example=default.lost)
        error = one.integer("error", at_least=0, at_most=_MOST_RETRIES, example=default.error)
        one.finish()
        return Retries(
            lost=default.lost if lost is None else lost,
            error=default.error if error is None else error,
        )
    lost = table.integer("retries", at_least=0, at_most=_MOST_RETRIES, example=default.lost, expected=_RETRIES)
    return default if lost is None else Retries(lost=lost)
