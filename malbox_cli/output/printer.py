"""Prints the records of tasks as they come: lines of JSON, or something to read, with a progress bar on a terminal."""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from malbox_cli.control.json_text import on_one_line, parse_json
from malbox_cli.control.records import (
    Accepted,
    Ended,
    Outcome,
    Progress,
    Record,
    Refused,
    Result,
    TaskWarning,
    escape_surrogates,
    to_line,
)
from malbox_cli.output.above_bars import AboveBars
from malbox_cli.output.report import is_report, report_lines
from malbox_cli.output.text import human_duration, human_size, one_line, pretty_json, safe
from malbox_cli.output.ticker import Ticker
from malbox_cli.store.names import safe_file_name
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["JsonPrinter", "Printer", "TextPrinter", "save_results"]

MAX_SHOWN_JSON = 1 << 20
"""A larger JSON result is named and not shown."""

MESSAGE_WIDTH = 60
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

    def stderr(self) -> TextIO:
        """Return where others print what they have to say meanwhile."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonPrinter:
    """One JSON object a line, flushed as it happens. A JSON result stands in its record, however large."""

    def take(self, record: Record) -> None:
        """Print a record."""
        # JSON is UTF-8, whatever the terminal's encoding is.
        sys.stdout.buffer.write(to_line(with_data(record)).encode() + b"\n")
        sys.stdout.buffer.flush()

    def stderr(self) -> TextIO:
        """Return standard error."""
        return sys.stderr

    def close(self) -> None:
        """Nothing is open."""


class TextPrinter:
    """Something to read; on a terminal with a bar for each task that runs.

    Args:
        with_bars: Whether there is anything to wait for.
    """

    def __init__(self, *, with_bars: bool = True) -> None:
        from rich.console import Console

        self._out: Console = Console(highlight=False, soft_wrap=True, emoji=False)
        self._bars: Bars | None = None
        self._ticker: Ticker | None = None
        # What is printed above the bars, by whatever thread, and the bars themselves: rich works out where the bars are
        # before it writes, and would leave one behind that was drawn in between.
        self._turn = RLock()
        self._tasks: dict[int, tuple[str, str, TaskID | None]] = {}
        where = self._out if self._out.is_terminal else Console(stderr=True, highlight=False, emoji=False)
        if where.is_terminal and with_bars:
            self._bars = _bars(where)
            self._bars.start()
            self._ticker = Ticker(self._bars.refresh, self._turn)

    def take(self, record: Record) -> None:
        """Print a record."""
        with self._turn:
            self._take(record)

    def _take(self, record: Record) -> None:
        match record:
            case Accepted():
                bar = self._bars.add_task(one_line(record.plugin), total=1.0, message="") if self._bars else None
                self._tasks[record.task] = (record.plugin, record.sample, bar)
            case Progress():
                _, _, bar = self._tasks.get(record.task, ("", "", None))
                if self._bars is not None and bar is not None:
                    message = one_line(record.message)[:MESSAGE_WIDTH]
                    self._bars.update(bar, completed=record.progress, message=message)
            case TaskWarning():
                self._print(f"{self._who(record.task)}: warning: {one_line(record.message)}", "yellow")
            case Result():
                self.show_result(f"{self._who(record.task)} → {one_line(record.name)}", record)
            case Ended():
                self._ended(record)
            case Refused():
                self._print(f"{one_line(record.plugin)}: refused: {one_line(record.error)}", "bold red")

    def show_result(self, title: str, record: Result) -> None:
        """Print a result below a title, which is safe to print.

        Raises:
            MalboxError: It cannot be read any more.
        """
        if record.path is not None and (record.format != "json" or record.size > MAX_SHOWN_JSON):
            self._print(f"{title}: {human_size(record.size)} in {one_line(record.path)}", "bold")
            return
        value = json.loads(_data_of(record))
        self._print(title, "bold")
        if is_report(record.name, value):
            for line in report_lines(value):
                self._print(f"  {line}")
        else:
            self._print_json(pretty_json(value))

    def stderr(self) -> TextIO:
        """Return standard error, or what puts lines above the bars where both are on a terminal."""
        if self._bars is None or not sys.stderr.isatty():
            return sys.stderr
        return cast(TextIO, AboveBars(self._bars.console, self._turn))

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None and self._ticker is not None:
            self._ticker.close()
            self._bars.stop()

    def _who(self, task: int) -> str:
        plugin, sample, _ = self._tasks.get(task, ("task", str(task), None))
        return one_line(f"{plugin} {sample}")

    def _ended(self, record: Ended) -> None:
        plugin, sample, bar = self._tasks.pop(record.task, (record.plugin, f"task {record.task}", None))
        if self._bars is not None and bar is not None:
            self._bars.remove_task(bar)
        text = f"{one_line(f'{plugin} {sample}')}: {record.outcome.value} after {human_duration(record.seconds)}"
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
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def with_data(record: Record) -> Record:
    """Return a JSON result that was stored with its data read back in; any other record as it is.

    One that turns out to be no JSON, which the store does not check in very large ones, becomes one of bytes.

    Raises:
        MalboxError: It cannot be read any more.
    """
    if not isinstance(record, Result) or record.format != "json" or record.path is None:
        return record
    try:
        return replace(record, data=_data_of(record), path=None)
    except ValueError:
        return replace(record, format="bytes")


def save_results(folder: Path, take: Callable[[Record], None]) -> Callable[[Record], None]:
    """Return a `take` that also puts every result below `folder`, a folder for each task.

    Raises:
        MalboxError: A result cannot be written; raised by what is returned.
    """
    tasks: dict[int, tuple[Path, set[str]]] = {}

    def save(record: Record) -> None:
        match record:
            case Accepted():
                stem = safe_file_name(Path(record.sample).name)
                tasks[record.task] = (folder / f"{stem}-{record.sha256[:12]}" / record.plugin, set())
            case Result():
                saved = _save(*tasks[record.task], record)
                if record.path is not None:
                    record = replace(record, path=str(saved))
            case Ended():
                with suppress(KeyError):
                    del tasks[record.task]
        take(record)

    return save


def _save(where: Path, taken: set[str], record: Result) -> Path:
    """Put a result below `where`, under its own name if no result of the task has taken it; return the file."""
    name = file_name = safe_file_name(record.name, ".json" if record.format == "json" else "")
    number = 1
    while file_name in taken:
        number += 1
        file_name = f"{number:02}-{name}"
    taken.add(file_name)
    target = where / file_name
    part = where / f".{file_name}.part"  # no name of a result begins with a dot
    try:
        where.mkdir(parents=True, exist_ok=True)
        if record.path is not None:
            shutil.copyfile(record.path, part)
        else:
            part.write_text(escape_surrogates(record.data or ""), encoding="utf-8")
        part.replace(target)
    except OSError as error:
        # The error may name the file that was read, or none.
        with suppress(OSError):
            part.unlink()
        raise MalboxError(f"cannot write {target}: {error.strerror}") from error
    return target.absolute()


def _data_of(record: Result) -> str:
    """Return the text of a JSON result, on one line, wherever it is.

    Raises:
        MalboxError: It cannot be read any more.
        ValueError: It is no JSON.
    """
    if record.data is not None or record.path is None:
        return record.data or "null"
    try:
        data = Path(record.path).read_bytes()
    except OSError as error:
        raise MalboxError(f"cannot read the result {record.path} back: {error.strerror}") from error
    parse_json(data)
    return on_one_line(data.decode())
