"""`malbox tasks`."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import json_option, locate, manifest_option
from malbox_cli.output.text import safe

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location
    from malbox_cli.output.task_text import Paint
    from malbox_cli.store.ledger_reader import LedgerReader
    from malbox_cli.store.ledger_rows import TaskFilter, TaskRow

__all__ = ["command"]

DEFAULT_COUNT = 50
PAGE = 1000
"""Tasks that are in memory at once."""
LEAST_WIDTH = 80
LEAST_DIGITS = 6
STATES = ("QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELED", "TIMEOUT")


def _moment(ctx: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    from malbox_cli.output.moments import parse_moment

    try:
        return None if text is None else parse_moment(text, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


def _samples(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not text:
            raise click.BadParameter("'' is neither a path nor the beginning of a sha256", ctx, parameter)
    return tuple(map(_sample, texts))


def _sample(text: str) -> str:
    is_digest = LEAST_DIGITS <= len(text) <= 64 and not set(text.lower()) - set("0123456789abcdef")
    return text.lower() if is_digest and not os.path.lexists(text) else os.path.abspath(text)


@click.command(epilog="Example: malbox tasks --state FAILED --since 2h --json | jq -r .error")
@manifest_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    metavar="STATE",
    help="Only those that are QUEUED, RUNNING, COMPLETED, FAILED, CANCELED or TIMEOUT; may be repeated.",
)
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Only those of this plugin; may be repeated.")
@click.option(
    "--sample",
    "samples",
    multiple=True,
    callback=_samples,
    metavar="PATH|SHA256",
    help="Only those of this file, or of a content whose sha256 begins so (6 digits or more); may be repeated.",
)
@click.option(
    "--since", callback=_moment, metavar="WHEN", help="Only those that are not older: 30m, 2h, 7d, or 2026-11-24T18:30."
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=0),
    default=DEFAULT_COUNT,
    metavar="N",
    help=f"No more than so many, by default {DEFAULT_COUNT}; 0 for all.",
)
@json_option("Print one JSON object a line.")
def command(
    manifest_path: Path,
    states: tuple[str, ...],
    plugins: tuple[str, ...],
    samples: tuple[str, ...],
    since: float | None,
    count: int,
    *,
    as_json: bool,
) -> None:
    """List the tasks that were accepted, the newest first, whether they wait, run or have ended.

    No supervisor has to be running. `malbox show TASK` has everything about one of them.
    """
    from malbox_cli.client.kept import open_ledger
    from malbox_cli.store.ledger_rows import TaskFilter
    from malbox_cli.store.task_states import TaskState

    manifest = locate(manifest_path)
    which = TaskFilter(frozenset(map(TaskState, states)), frozenset(plugins), since=since)
    with open_ledger(manifest) as ledger:
        found = _found(ledger, which, samples)
        shown = found if not count else islice(found, count)
        first = next(shown, None)
        if first is None:
            _say_that_there_are_none(ledger, manifest, plugins)
            return
        _print(first, shown, manifest, plugins, as_json=as_json)
        if not as_json and count and next(found, None) is not None:
            click.echo(f"malbox: there are more than these {count}; -n 0 lists all", err=True)


def _found(ledger: "LedgerReader", which: "TaskFilter", samples: tuple[str, ...]) -> "Iterator[TaskRow]":
    """Yield the tasks, each once, the newest first."""
    if not samples:
        return _paged(ledger, which)
    each = [_paged(ledger, replace(which, sample=sample)) for sample in samples]
    merged = merge(*each, key=lambda row: -row.task)
    return (next(rows) for _, rows in groupby(merged, key=lambda row: row.task))


def _paged(ledger: "LedgerReader", which: "TaskFilter") -> "Iterator[TaskRow]":
    page = replace(which, limit=PAGE)
    while rows := ledger.tasks(page):
        yield from rows
        page = replace(page, before=rows[-1].task)


def _say_that_there_are_none(ledger: "LedgerReader", manifest: "Location", plugins: tuple[str, ...]) -> None:
    from malbox_cli.commands.common import require_plugins
    from malbox_cli.store.ledger_rows import TaskFilter

    if not ledger.tasks(TaskFilter(limit=1)):
        click.echo(f"malbox: no task was kept yet in {safe(str(manifest.state_dir))}", err=True)
        return
    for plugin in plugins:  # one that the manifest had once may have tasks
        if not ledger.tasks(TaskFilter(plugins=frozenset((plugin,)), limit=1)):
            require_plugins(manifest.path, [plugin], manifest.plugin_ids)
    click.echo("malbox: no task is like that", err=True)


def _print(
    first: "TaskRow", others: "Iterator[TaskRow]", manifest: "Location", plugins: tuple[str, ...], *, as_json: bool
) -> None:
    from malbox_cli.control.records import escape_surrogates
    from malbox_cli.output.task_text import TaskTable, task_fields

    rows = chain((first,), others)
    if as_json:
        for row in rows:
            line = escape_surrogates(json.dumps(task_fields(row), ensure_ascii=False))
            sys.stdout.buffer.write(line.encode() + b"\n")
        sys.stdout.buffer.flush()
        return
    table = TaskTable(_width(), plugins or manifest.plugin_ids, first.task, time.time())
    paint = _paint()
    click.echo(table.header if paint is None else click.style(table.header, dim=True))
    for row in rows:
        click.echo(table.row(row, paint))


def _width() -> int | None:
    """Return the columns of the terminal, None where nobody looks: what reads a pipe wants everything."""
    return max(shutil.get_terminal_size().columns, LEAST_WIDTH) if sys.stdout.isatty() else None


def _paint() -> "Paint | None":
    """Return what colours a state, None where there are to be no colours."""
    from rich.console import Console
    from rich.style import Style

    from malbox_cli.output.task_text import STYLES

    console = Console()
    if not console.is_terminal or console.no_color:
        return None
    styles = {state: Style.parse(style) for state, style in STYLES.items()}
    return lambda text, state: styles[state].render(text)
