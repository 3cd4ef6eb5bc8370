"""The stream of a task made anew from what the ledger has of it."""

from collections.abc import Iterator, Sequence
from operator import itemgetter

from malbox_cli.control.json_text import on_one_line
from malbox_cli.control.records import Accepted, Ended, Outcome, Record, Result, TaskWarning
from malbox_cli.store.ledger_rows import NoteRow, ResultRow, TaskRow

__all__ = ["past_records", "result_record"]


def past_records(task: TaskRow, notes: Sequence[NoteRow], results: Sequence[ResultRow]) -> Iterator[Record]:
    """Yield the records of a task as it ran: what it was, warnings and results by their time, and its end if it has.

    Progress is not kept. A task whose sample could not be read has an end alone, as it had when it ran.
    """
    if task.sha256 is not None:
        yield Accepted(task.task, task.plugin, task.sample, task.sha256)
    said: list[tuple[float, Record]] = [
        (note.at, TaskWarning(task.task, note.text)) for note in notes if note.kind == "warning"
    ]
    said += [(result.at, result_record(task.task, result)) for result in results]
    yield from (record for _, record in sorted(said, key=itemgetter(0)))
    if task.state.is_final:
        outcome = Outcome[task.state.name]
        yield Ended(task.task, task.plugin, outcome, task.error, round(task.seconds or 0.0, 6), partial=task.partial)


def result_record(task: int, row: ResultRow) -> Result:
    """Return the record of a result: with the data of a JSON result that the ledger has itself, else with its path."""
    data = path = None
    if row.data is not None and row.format == "json":
        data = on_one_line(row.data.decode("utf-8"))
    else:
        path = row.path
    return Result(task, row.name, row.format, row.size, row.sha256, data, path, row.number, row.attempt)
