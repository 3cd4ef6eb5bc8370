"""A stream that is joined in its middle: what the ledger has had of it is not told again."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from malbox_cli.control.records import Accepted, Record, Result, TaskWarning
from malbox_cli.store.ledger_rows import NoteRow, ResultRow, TaskRow

__all__ = ["news_filter"]


def news_filter(task: TaskRow, recent: Iterable[NoteRow], results: Sequence[ResultRow]) -> Callable[[Record], bool]:
    """Return what says of each record in its turn whether the ledger did not have it when it was read.

    Args:
        task: What the ledger had.
        recent: The notes that were made since what is told began.
        results: The results that it had.
    """
    warned = Counter(note.text for note in recent if note.kind == "warning")
    had = {(result.attempt, result.number) for result in results}

    def is_new(record: Record) -> bool:
        match record:
            case Accepted():
                return task.sha256 is None
            case Result():
                return (record.attempt, record.number) not in had
            case TaskWarning() if warned[record.message]:
                warned[record.message] -= 1
                return False
        return True

    return is_new
