"""Takes up the tasks that a supervisor before this one had not ended."""

from collections import Counter
from collections.abc import Iterable

from malbox_cli.control.records import Outcome
from malbox_cli.store.entries import AttemptEnded, Noted, OpenTask, Requeued
from malbox_cli.supervisor.actions import Say
from malbox_cli.supervisor.desk import TaskDesk
from malbox_cli.supervisor.task_rules import poison, rest_before_next
from malbox_cli.supervisor.tasks import Task

__all__ = ["NOBODY", "recover"]

NOBODY = -1
"""The client of a task whose sender has gone with the supervisor that had taken it."""

WHY = "the supervisor ended during the task"
STALE = float("-inf")


def recover(desk: TaskDesk, tasks: Iterable[OpenTask], now: float) -> None:
    """Let tasks wait for their turn again; what was running is an attempt that was lost.

    Tasks of a plugin that is not run stay as they are in the ledger.
    """
    taken, left = 0, Counter[str]()
    for open_task in tasks:
        if open_task.added.plugin in desk.board.pools:
            _take_up(desk, open_task, now)
            taken += 1
        else:
            left[open_task.added.plugin] += 1
    if taken:
        desk.board.out.append(Say("info", f"took up {taken} task{'s'[: taken > 1]} of the supervisor before"))
    for plugin, count in left.items():
        what = f"{count} tasks of plugin {plugin} wait" if count > 1 else f"a task of plugin {plugin} waits"
        desk.board.out.append(Say("warning", f"{what} in the ledger, and that plugin is not run"))


def _take_up(desk: TaskDesk, open_task: OpenTask, now: float) -> None:
    board, added = desk.board, open_task.added
    task = Task(
        id=added.task,
        client=NOBODY,
        plugin=added.plugin,
        version=added.version,
        sample=added.sample,
        config=added.config,
        timeout=added.timeout,
        created_at=now - open_task.age,
        priority=added.priority,
        is_detached=True,
        retry_of=added.retry_of,
        sha256=added.sha256 or "",
        size=added.size,
        fingerprint=added.fingerprint or "",
        copy=added.copy,
        checked_at=STALE,
        is_kept=True,
        attempts=open_task.attempts,
        losses=open_task.lost,
        failures=open_task.failed,
    )
    if not open_task.was_running:
        desk.adopt_open(task)
        return
    if open_task.canceled is not None:  # nobody wants another attempt
        board.write(AttemptEnded(task.id, task.attempts, "interrupted", WHY))
        board.write(Requeued(task.id))
        desk.adopt_open(task)
        desk.end_open(task, Outcome.CANCELED, open_task.canceled, now)
        return
    task.losses += 1
    goes_again = rest_before_next(task, "lost", board.pool_of(task).spec.retries) is not None
    board.write(AttemptEnded(task.id, task.attempts, "lost", WHY))
    board.write(Requeued(task.id))
    if goes_again:
        board.write(Noted(task.id, "retry", f"{WHY}; it is tried again"))
    desk.adopt_open(task)
    if not goes_again:
        desk.end_open(task, Outcome.FAILED, f"{WHY}{poison(task)}", now)
