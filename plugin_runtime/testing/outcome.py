"""What came of a task: everything that its handler sent, as objects."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from plugin_runtime.event import Event
from plugin_runtime.report.builder import REPORT_RESULT_NAME
from plugin_runtime.testing.reports import Report

__all__ = ["Pushed", "Step", "TaskRun"]


class Step(NamedTuple):
    """One call of `Context.progress`, as it arrived."""

    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A result, as it arrived.

    Attributes:
        name: The name that the plugin gave it.
        format: ``"json"``, ``"bytes"``, or ``"file"`` for a large file, which travels by its path.
        data: Its bytes; those of a file as they were when it was pushed.
        path: The file, for format ``"file"`` only. It may be gone by now.
    """

    name: str
    format: Literal["json", "bytes", "file"]
    data: bytes
    path: Path | None = None

    def json(self) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """Return the value of a JSON result.

        Raises:
            ValueError: It is none.
        """
        if self.format != "json":
            raise ValueError(f"the result {self.name!r} was pushed as {self.format}, not as JSON")
        return json.loads(self.data)

    def text(self) -> str:
        """Return its bytes as text in UTF-8."""
        return self.data.decode()


@dataclass(slots=True)
class TaskRun:
    """A task, and what its handler sent, in order. It grows while the task runs.

    Attributes:
        task_id: The task's number.
        sample: The file that the plugin was given.
        outcome: ``"running"``, and then ``"completed"``, ``"failed"`` or ``"canceled"``.
        error: Why it did not end well, as `malbox` would show it: the traceback of what the handler raised.
        exception: What the handler raised, or None.
        results: What was pushed.
        progress: The calls of `Context.progress`.
        warnings: The calls of `Context.warn`.
        events: What the plugin published by `Context.emit_event` while the task was open.
    """

    task_id: int
    sample: Path
    outcome: Literal["running", "completed", "failed", "canceled"] = "running"
    error: str | None = None
    exception: BaseException | None = None
    results: list[Pushed] = field(default_factory=list)
    progress: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the results, in the order in which they were pushed."""
        return [result.name for result in self.results]

    def result(self, name: str) -> Pushed:
        """Return the result of this name, the last one where several have it.

        Raises:
            LookupError: There is none; the text says what there is, and why the task failed if it did.
        """
        for result in reversed(self.results):
            if result.name == name:
                return result
        there = ", ".join(map(repr, self.names)) or "none"
        why = f"\n{self.error}" if self.error else ""
        raise LookupError(f"no result {name!r} was pushed; there is {there}, and the task is {self.outcome}{why}")

    @property
    def report(self) -> Report | None:
        """The report, or None where the task pushed none.

        Raises:
            ValueError: A result is called ``report`` and is none.
        """
        if REPORT_RESULT_NAME not in self.names:
            return None
        return Report.read(self.result(REPORT_RESULT_NAME).json())
