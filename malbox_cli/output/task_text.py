"""Tasks of the ledger as text for a terminal, or as JSON."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from malbox_cli.manifest.secrets import hide
from malbox_cli.output.text import human_duration, human_size, one_line, safe
from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, TaskRow
from malbox_cli.store.task_states import TaskState

__all__ = ["STYLES", "TaskTable", "detail_lines", "reason_of", "task_fields", "whole_fields"]

STYLES: Mapping[TaskState, str] = {
    TaskState.QUEUED: "cyan",
    TaskState.RUNNING: "bold cyan",
    TaskState.COMPLETED: "green",
    TaskState.FAILED: "bold red",
    TaskState.CANCELED: "yellow",
    TaskState.TIMEOUT: "bold yellow",
}
WIDTH_OF_DATES = 100
"""Columns below which the table has no seconds, and a date only where it is another day's."""
WIDTH_OF_REASONS = 120
"""Columns below which the table does not say why tasks ended."""
LEAST_SAMPLE = 20
LONGEST_PLUGIN = 20
GAP = "  "
CUT = "…"
MAX_REASON = 300

Paint = Callable[[str, TaskState], str]


class TaskTable:
    """Lays tasks out in columns, a line each, without knowing all of them.

    Args:
        width: Columns of the terminal; None where there is none: nothing is cut.
        plugins: The names that the tasks' plugins may have, so that each finds its room.
        newest: The largest number that a task has.
        now: Seconds since the epoch.
    """

    def __init__(self, width: int | None, plugins: Sequence[str], newest: int, now: float) -> None:
        self._is_short = width is not None and width < WIDTH_OF_DATES
        self._today = datetime.fromtimestamp(now).date()
        self._columns = (
            max(len(str(newest)), len("TASK")),
            max(len(state.value) for state in TaskState),
            min(max([*map(len, plugins), len("PLUGIN")]), LONGEST_PLUGIN),
            11 if self._is_short else 19,
            len("999 h 59 min"),
        )
        self._sample = self._reason = None if width is None else 0
        if width is not None:
            room = max(width - sum(self._columns) - len(GAP) * len(self._columns), LEAST_SAMPLE)
            self._sample = room if width < WIDTH_OF_REASONS else room // 2
            self._reason = max(room - self._sample - len(GAP), 0)

    @property
    def header(self) -> str:
        """The line above the tasks."""
        return self._line("TASK", "STATE", "PLUGIN", "ADDED", "TOOK", "SAMPLE", "REASON").rstrip()

    def row(self, task: TaskRow, paint: Paint | None = None) -> str:
        """Return the line of a task; `paint` colours its state."""
        took = "-" if task.seconds is None else human_duration(task.seconds)
        added = self._time(task.added_at)
        sample, reason = one_line(task.sample), one_line(reason_of(task))[:MAX_REASON]
        line = self._line(str(task.task), task.state.value, one_line(task.plugin), added, took, sample, reason)
        if paint is None:
            return line
        start = self._columns[0] + len(GAP)
        end = start + len(task.state.value)
        return line[:start] + paint(task.state.value, task.state) + line[end:]

    def _line(self, number: str, state: str, plugin: str, added: str, took: str, sample: str, reason: str) -> str:
        wide = self._columns
        parts = [
            number.rjust(wide[0]),
            state.ljust(wide[1]),
            (plugin if self._sample is None else cut(plugin, wide[2])).ljust(wide[2]),
            added.ljust(wide[3]),
            took.rjust(wide[4]),
        ]
        if self._sample is None or self._reason is None:
            return GAP.join([*parts, sample, reason]).rstrip()
        parts.append(cut(sample, self._sample, end=False))
        if self._reason and reason:
            parts[-1] = parts[-1].ljust(self._sample)
            parts.append(cut(reason, self._reason))
        return GAP.join(parts)

    def _time(self, at: float) -> str:
        when = datetime.fromtimestamp(at)
        if not self._is_short:
            return f"{when:%Y-%m-%d %H:%M:%S}"
        if when.date() == self._today:
            return f"{when:%H:%M:%S}"
        return f"{when:%m-%d %H:%M}" if when.year == self._today.year else f"{when:%Y-%m-%d}"


def cut(text: str, width: int, *, end: bool = True) -> str:
    """Return a text that has no more than `width` characters; `end` says which end of it gives way."""
    if len(text) <= width:
        return text
    return text[: width - 1] + CUT if end else CUT + text[len(text) - width + 1 :]


def reason_of(task: TaskRow) -> str:
    """Return why a task ended as it did, in a line: what is last in a traceback says most."""
    lines = [line.strip() for line in (task.error or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback ") else lines[0]


def task_fields(task: TaskRow) -> dict[str, object]:
    """Return a task as a JSON object; secrets of its configuration are hidden."""
    return {
        "task": task.task,
        "state": task.state.value,
        "plugin": task.plugin,
        "version": task.version,
        "sample": task.sample,
        "sha256": task.sha256,
        "size": task.size,
        "config": _shown(task.config),
        "timeout": task.timeout,
        "priority": task.priority,
        "detached": task.is_detached,
        "retry_of": task.retry_of,
        "error": task.error,
        "seconds": None if task.seconds is None else round(task.seconds, 6),
        "partial": task.partial,
        "added_at": round(task.added_at, 6),
        "started_at": _moment(task.started_at),
        "ended_at": _moment(task.ended_at),
        "attempts": task.attempts,
        "results": task.results,
    }


def whole_fields(task: TaskRow, attempts: Sequence[AttemptRow], notes: Sequence[NoteRow]) -> dict[str, object]:
    """Return a task with its attempts and notes, without its results, as a JSON object."""
    fields = task_fields(task)
    del fields["results"]
    fields["attempts"] = [
        {
            "attempt": attempt.attempt,
            "worker": attempt.worker,
            "began_at": round(attempt.began_at, 6),
            "ended_at": _moment(attempt.ended_at),
            "outcome": attempt.outcome,
            "error": attempt.error,
        }
        for attempt in attempts
    ]
    fields["notes"] = [{"at": round(note.at, 6), "kind": note.kind, "text": note.text} for note in notes]
    return fields


def detail_lines(task: TaskRow, attempts: Sequence[AttemptRow], notes: Sequence[NoteRow], now: float) -> list[str]:
    """Return the lines about a task below its first, which says its state; its results are not among them."""
    size = "not read" if task.size is None else human_size(task.size)
    if task.size is not None and task.size >= 1024:
        size += f" ({task.size} bytes)"
    rows = [
        ("plugin", f"{task.plugin} {task.version}"),
        ("sample", task.sample),
        ("sha256", task.sha256 or "not read"),
        ("size", size),
        ("added", _stamp(task.added_at)),
    ]
    rows += [("started", _stamp(task.started_at))] if task.started_at is not None else []
    rows += [("ended", _stamp(task.ended_at))] if task.ended_at is not None else []
    rows += [("asked", asked)] if (asked := _asked(task)) else []
    rows += [("config", f"{key} = {value}") for key, value in _shown(task.config).items()]
    lines = [f"  {key:<9}{one_line(value)}" for key, value in rows]
    if task.error:
        lines += ["  reason", *_indented(task.error)]
    if attempts:
        lines.append("attempts")
    for attempt in attempts:
        until = now if attempt.ended_at is None else attempt.ended_at
        took = human_duration(max(until - attempt.began_at, 0.0))
        how = attempt.outcome or "running"
        text = f"  {attempt.attempt}  {_stamp(attempt.began_at)}  {attempt.worker}  {how} after {took}"
        said_above = attempt.error == task.error
        lines.append(one_line(text) + ("" if attempt.error is None or said_above else ":"))
        if attempt.error is not None and not said_above:
            lines += _indented(attempt.error)
    if notes:
        lines.append("notes")
    lines += [one_line(f"  {_stamp(note.at)}  {note.kind}: {note.text}") for note in notes]
    return lines


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in safe(text).splitlines()]


def _asked(task: TaskRow) -> str:
    parts = [
        f"time limit {human_duration(task.timeout)}" if task.timeout is not None else "",
        f"priority {task.priority}" if task.priority else "",
        "detached" if task.is_detached else "",
        f"a retry of task {task.retry_of}" if task.retry_of is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _shown(config: Mapping[str, str]) -> dict[str, str]:
    return {key: hide(key, value) for key, value in config.items()}


def _moment(at: float | None) -> float | None:
    return None if at is None else round(at, 6)


def _stamp(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"
