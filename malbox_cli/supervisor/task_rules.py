"""What comes after an attempt at a task: an end, or another attempt."""

from malbox_cli.control.records import Outcome
from malbox_cli.manifest.specs import Retries
from malbox_cli.store.entries import AttemptOutcome
from malbox_cli.supervisor.tasks import Attempt, Task

__all__ = ["kind_of_end", "poison", "rest_before_next"]

FIRST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds until a task is tried again: doubled with each time."""


def kind_of_end(attempt: Attempt, outcome: Outcome) -> AttemptOutcome:
    """Return how an attempt ended that ends its task this way unless it is tried again."""
    if attempt.is_lost:
        return "lost"
    if attempt.interruption and outcome is not Outcome.COMPLETED:
        return "interrupted"
    match outcome:
        case Outcome.COMPLETED:
            return "completed"
        case Outcome.FAILED:
            return "failed"
        case Outcome.CANCELED:
            return "canceled"
        case Outcome.TIMEOUT:
            return "timeout"


def rest_before_next(task: Task, kind: AttemptOutcome, retries: Retries) -> float | None:
    """Return in how many seconds a task is tried again whose attempt ended so, which is counted; None: it is not."""
    match kind:
        case "interrupted":
            return 0.0
        case "lost":
            times, allowed = task.losses, retries.lost
        case "failed":
            times, allowed = task.failures, retries.error
        case _:
            return None
    return min(FIRST_REST * 2.0 ** (times - 1), LONGEST_REST) if times <= allowed else None


def poison(task: Task) -> str:
    """Return what is to be added to the reason of a task whose last attempt was lost."""
    if task.losses < 2:
        return ""
    return f"; {task.losses} attempts at it were lost: it counts as poison, and is not tried again"
