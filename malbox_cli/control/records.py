"""The stream of a task: what `send-task --json` and `run --json` print, as frozen values.

Each record is one JSON object with a `type`. A stream is one `Accepted`, any number of `Progress`, `TaskWarning` and
`Result`, and last, always, one `Ended`. A task whose sample could not be read, or that was cancelled before it was, is
one `Ended` alone; what was no task because there is nobody to do it is one `Refused`.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Literal

__all__ = [
    "Accepted",
    "Ended",
    "Outcome",
    "Progress",
    "Record",
    "Refused",
    "Result",
    "TaskWarning",
    "escape_surrogates",
    "record_of",
    "to_line",
]


class Outcome(Enum):
    """How a task ended; the value is the record's type."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task was taken, and its sample read once.

    Attributes:
        task: The task's number.
        plugin: The plugin's id.
        sample: The sample's absolute path.
        sha256: The sample's digest in hexadecimal.
    """

    task: int
    plugin: str
    sample: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the task is, from 0.0 to 1.0, with a line for a person."""

    task: int
    progress: float
    message: str


@dataclass(frozen=True, slots=True)
class TaskWarning:
    """Something that whoever sent the task should know, and that did not end it."""

    task: int
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """One result, whole.

    Attributes:
        task: The task's number.
        name: The name that the plugin gave it.
        format: ``"json"``, ``"bytes"`` or ``"file"``.
        size: Bytes.
        sha256: Digest of these bytes, in hexadecimal.
        data: A JSON result as its text, on one line; None where it was stored.
        path: Where it was stored; None where it is in `data`.
        number: Which of the task's results it is, from 1 in each attempt.
        attempt: Which attempt it is of, from 1: where there is a further one, those of the one before are void.
    """

    task: int
    name: str
    format: Literal["json", "bytes", "file"]
    size: int
    sha256: str
    data: str | None = None
    path: str | None = None
    number: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the task.

    Attributes:
        task: The task's number.
        plugin: The plugin's id.
        outcome: How it ended.
        error: Why, if it did not end well.
        seconds: From the moment it was sent to the plugin, or accepted if it never was.
        partial: Whether results arrived although it did not end well.
    """

    task: int
    plugin: str
    outcome: Outcome
    error: str | None
    seconds: float
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No task was made."""

    plugin: str
    error: str


Record = Accepted | Progress | TaskWarning | Result | Ended | Refused


def _fields(record: Record) -> dict[str, object]:
    match record:
        case Accepted():
            return {
                "type": "accepted",
                "task": record.task,
                "plugin": record.plugin,
                "sample": record.sample,
                "sha256": record.sha256,
            }
        case Progress():
            return {"type": "progress", "task": record.task, "progress": record.progress, "message": record.message}
        case TaskWarning():
            return {"type": "warning", "task": record.task, "message": record.message}
        case Result():
            return {
                "type": "result",
                "task": record.task,
                "name": record.name,
                "format": record.format,
                "size": record.size,
                "sha256": record.sha256,
                "number": record.number,
                "attempt": record.attempt,
            }
        case Ended():
            return {
                "type": record.outcome.value,
                "task": record.task,
                "plugin": record.plugin,
                "error": record.error,
                "seconds": round(record.seconds, 6),
                "partial": record.partial,
            }
        case Refused():
            return {"type": "refused", "plugin": record.plugin, "error": record.error}


def to_line(record: Record) -> str:
    """Return the record as one line of JSON, without the newline."""
    text = json.dumps(_fields(record), ensure_ascii=False)
    if isinstance(record, Result):
        # The data is JSON text already; parsing it only to write it again would cost more than everything else here.
        if record.data is not None:
            text = f'{text[:-1]}, "data": {record.data}}}'
        if record.path is not None:
            text = f'{text[:-1]}, "path": {json.dumps(record.path, ensure_ascii=False)}}}'
    return escape_surrogates(text)


def escape_surrogates(text: str) -> str:
    """Write the bytes of a path that are no UTF-8, which Python keeps as lone surrogates, as JSON escapes."""
    if text.isascii():
        return text
    return "".join(f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in text)


def record_of(fields: dict[str, object]) -> Record:
    """Return the record of a JSON object that `to_line` made.

    Raises:
        ValueError: It is no such object.
    """
    kind = fields.get("type")
    arguments = {key: value for key, value in fields.items() if key != "type"}
    try:
        match kind:
            case "accepted":
                return Accepted(**arguments)  # type: ignore[arg-type] # from our own writer, over our own socket
            case "progress":
                return Progress(**arguments)  # type: ignore[arg-type] # as above
            case "warning":
                return TaskWarning(**arguments)  # type: ignore[arg-type] # as above
            case "refused":
                return Refused(**arguments)  # type: ignore[arg-type] # as above
            case "result":
                if "data" in arguments:
                    arguments["data"] = json.dumps(arguments["data"], ensure_ascii=False)
                return Result(**arguments)  # type: ignore[arg-type] # as above
            case _:
                return Ended(outcome=Outcome(kind), **arguments)  # type: ignore[arg-type] # as above
    except TypeError as error:
        raise ValueError(f"not a record of a task: {error}") from error
