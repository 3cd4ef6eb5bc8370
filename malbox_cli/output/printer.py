"""Prints the records of tasks as they come: lines of JSON, or something to read, with a progress bar on a terminal."""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Refused, Result, TaskWarning, to_line
from malbox_cli.output.report import is_report, report_lines
from malbox_cli.output.text import human_duration, human_size, pretty_json, safe
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["JsonPrinter", "Printer", "TextPrinter", "save_results"]

STYLES = {
    Outcome.COMPLETED: "green",
    Outcome.FAILED: "bold red",
    Outcome.CANCELED: "yellow",
    Outcome.TIMEOUT: "bold yellow",
}


class Printer(Protocol):
    """Takes the records of any number of tasks."""

    def take(self, record: Record) -> None:
        """Print a record."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonPrinter:
    """One JSON object a line, flushed as it happens. A JSON result stands in its record, however large."""

    def take(self, record: Record) -> None:
        """Print a record."""
        sys.stdout.write(to_line(with_data(record)) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is open."""


class TextPrinter:
    """Something to read; on a terminal with a bar for each task that runs."""

    def __init__(self) -> None:
        from rich.console import Console

        self._out: Console = Console(highlight=False, soft_wrap=True)
        self._bars: Bars | None = None
        self._tasks: dict[int, tuple[str, str, TaskID | None]] = {}
        where = self._out if self._out.is_terminal else Console(stderr=True, highlight=False)
        if where.is_terminal:
            self._bars = _bars(where)
            self._bars.start()

    def take(self, record: Record) -> None:
        """Print a record."""
        match record:
            case Accepted():
                bar = self._bars.add_task(safe(record.plugin), total=1.0, message="") if self._bars else None
                self._tasks[record.task] = (record.plugin, record.sample, bar)
            case Progress():
                bar = self._tasks[record.task][2]
                if self._bars is not None and bar is not None:
                    self._bars.update(bar, completed=record.progress, message=safe(record.message)[:60])
            case TaskWarning():
                self._print(f"{self._who(record.task)}: warning: {record.message}", "yellow")
            case Result():
                self._result(record)
            case Ended():
                self._ended(record)
            case Refused():
                self._print(f"{record.plugin}: refused: {record.error}", "bold red")

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()

    def _who(self, task: int) -> str:
        plugin, sample, _ = self._tasks.get(task, ("task", str(task), None))
        return f"{plugin} {sample}"

    def _result(self, record: Result) -> None:
        record_with_data = with_data(record)
        assert isinstance(record_with_data, Result)
        title = f"{self._who(record.task)} → {record.name}"
        if record_with_data.data is None:
            self._print(f"{title}: {human_size(record.size)} in {record.path}", "bold")
            return
        value = json.loads(record_with_data.data)
        self._print(title, "bold")
        if is_report(record.name, value):
            for line in report_lines(value):
                self._print(f"  {line}")
        else:
            self._print_json(pretty_json(value))

    def _ended(self, record: Ended) -> None:
        plugin, sample, bar = self._tasks.pop(record.task, (record.plugin, "", None))
        if self._bars is not None and bar is not None:
            self._bars.remove_task(bar)
        text = f"{plugin} {sample}: {record.outcome.value} after {human_duration(record.seconds)}"
        if record.error:
            text += f": {record.error}"
        if record.partial:
            text += "\n  what it pushed before is partial"
        self._print(text, STYLES[record.outcome])

    def _print(self, text: str, style: str | None = None) -> None:
        self._out.print(safe(text), style=style, markup=False)

    def _print_json(self, text: str) -> None:
        from rich.highlighter import JSONHighlighter
        from rich.text import Text

        self._out.print(JSONHighlighter()(Text(text)))


def _bars(where: "Console") -> "Bars":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
        console=where,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=where.stderr or where.is_terminal,
    )


def with_data(record: Record) -> Record:
    """Return a JSON result that was stored with its data read back in; any other record as it is.

    Raises:
        MalboxError: It cannot be read any more.
    """
    if not isinstance(record, Result) or record.format != "json" or record.path is None:
        return record
    try:
        value = json.loads(Path(record.path).read_bytes())
    except (OSError, ValueError) as error:
        raise MalboxError(f"cannot read the result {record.path} back: {error}") from error
    return replace(record, data=json.dumps(value, ensure_ascii=False), path=None)


def save_results(folder: Path, take: Callable[[Record], None]) -> Callable[[Record], None]:
    """Return a `take` that also puts every result below `folder`, a folder for each task.

    Raises:
        MalboxError: A result cannot be written; raised by what is returned.
    """
    from malbox_cli.store.results import safe_file_name

    tasks: dict[int, tuple[Path, int]] = {}

    def save(record: Record) -> None:
        match record:
            case Accepted():
                stem = safe_file_name(Path(record.sample).name)
                tasks[record.task] = (folder / f"{stem}-{record.sha256[:12]}" / record.plugin, 0)
            case Result():
                where, count = tasks[record.task]
                tasks[record.task] = (where, count + 1)
                saved = _save(where, count + 1, record, safe_file_name)
                record = (
                    replace(record, path=str(saved)) if record.path is not None and record.format != "json" else record
                )
            case Ended():
                with suppress(KeyError):
                    del tasks[record.task]
        take(record)

    return save


def _save(where: Path, number: int, record: Result, file_name: Callable[[str, str], str]) -> Path:
    name = file_name(record.name, ".json" if record.format == "json" else "")
    target = where / name
    if target.exists():
        target = where / f"{number:02}-{name}"
    try:
        where.mkdir(parents=True, exist_ok=True)
        if record.path is not None:
            shutil.copyfile(record.path, target)
        else:
            target.write_text(record.data or "", encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        raise MalboxError(f"cannot write {error.filename or target}: {error.strerror}") from error
    return target.absolute()
