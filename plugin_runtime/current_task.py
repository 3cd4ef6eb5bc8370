"""Which task the code that runs belongs to, for the lines that it logs."""

from contextvars import ContextVar

__all__ = ["begin_task", "current_task", "end_task", "own_task"]

own_task: ContextVar[int | None] = ContextVar("malbox_task", default=None)
"""The task of this thread, or of this coroutine, and of what it starts with its context."""

_alone: int | None = None


def current_task() -> int | None:
    """Return the task's number; None outside of one.

    Where a plugin has one task at a time, whatever threads of its own do meanwhile is counted as that task's.
    """
    task = own_task.get()
    return _alone if task is None else task


def begin_task(task_id: int, *, alone: bool) -> None:
    """Take note that this thread works on a task; `alone`: while it does there is no other one in this process."""
    global _alone
    own_task.set(task_id)
    if alone:
        _alone = task_id


def end_task() -> None:
    """Take note that this thread's task is over."""
    global _alone
    _alone = None
    own_task.set(None)
