"""`malbox cancel`."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import client_of, json_option, locate, manifest_option
from malbox_cli.commands.keeping import tasks_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from malbox_cli.client.plain import Client, Task
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = ["command"]

AT_ONCE = 64
"""Tasks that are cancelled together: each is followed on a connection, of which a supervisor takes only so many."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a task.

    Attributes:
        task: Its number.
        state: The state that it is in; None: not known.
        error: Why.
        was_over: Whether it had ended before.
        is_unknown: Whether there is no such task; the error says so.
    """

    task: int
    state: str | None
    error: str | None
    was_over: bool = False
    is_unknown: bool = False


@click.command(epilog="Example: malbox cancel 12 13")
@manifest_option
@json_option("Print one JSON object a line, one for each task.")
@tasks_argument
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, tasks: tuple[int, ...], *, as_json: bool) -> None:
    """Cancel TASKs that wait or run, and wait until they have ended.

    A handler that does not end in its `cancel_grace` is killed with its process, which is started again. Ends with 0 if
    each task is CANCELED, also if it was before, and with 1 if one ended otherwise before it could be, or is unknown.
    """
    manifest = locate(manifest_path)
    so_far = {task: _fate_so_far(manifest, task) for task in tasks}
    # One that runs comes last: its end would let one that waits begin.
    in_order = sorted(tasks, key=lambda task: so_far[task].state == "RUNNING")
    fates: list[Fate] = []
    for start in range(0, len(in_order), AT_ONCE):
        for fate in _cancel(manifest, [so_far[task] for task in in_order[start : start + AT_ONCE]]):
            fates.append(fate)
            _tell(fate, as_json=as_json)
    ctx.exit(0 if all(fate.state == "CANCELED" for fate in fates) else 1)


def _cancel(manifest: "Location", fates: "Sequence[Fate]") -> "Iterator[Fate]":
    """Cancel tasks, all at once, and yield what became of each."""
    from malbox_cli.control.problems import RequestDenied

    with ExitStack() as stack:
        client: Client | None = None
        followed: dict[int, Task] = {}
        over: dict[int, Fate] = {}
        for fate in fates:
            task = fate.task
            if fate.was_over or fate.is_unknown:
                over[task] = fate
                continue
            if client is None:
                client = stack.enter_context(_client(manifest, fate))
            try:
                followed[task] = client.join(task)
            except RequestDenied as error:
                now = _fate_so_far(manifest, task)
                over[task] = now if now.was_over else Fate(task, None, str(error), is_unknown=True)
        for each in followed.values():
            each.cancel()
        for fate in fates:
            if fate.task in over:
                yield over[fate.task]
                continue
            last = followed[fate.task].wait()
            yield Fate(fate.task, last.outcome.name, last.error)


def _client(manifest: "Location", fate: Fate) -> "Client":
    from malbox_cli.control.problems import NoSupervisor

    try:
        return client_of(manifest)
    except NoSupervisor as error:
        if fate.state is None:
            raise
        raise NoSupervisor(f"task {fate.task} is {fate.state}: {error}") from error


def _fate_so_far(manifest: "Location", task: int) -> Fate:
    """Return what the ledger has of a task; without one, only the supervisor knows it."""
    from malbox_cli.client.kept import open_ledger, task_in
    from malbox_cli.control.problems import NoSuchTask

    if not manifest.ledger:
        return Fate(task, None, None)
    with open_ledger(manifest) as ledger:
        try:
            row: TaskRow = task_in(ledger, manifest, task)
        except NoSuchTask as error:
            return Fate(task, None, str(error), is_unknown=True)
    return Fate(task, row.state.value, row.error, was_over=row.state.is_final)


def _tell(fate: Fate, *, as_json: bool) -> None:
    from malbox_cli.output.text import safe

    if as_json:
        fields = {"task": fate.task, "state": fate.state, "error": fate.error, "was_over": fate.was_over}
        click.echo(json.dumps(fields))
    elif fate.is_unknown:
        click.echo(f"malbox: {safe(fate.error or '')}", err=True)
    elif fate.was_over:
        click.echo(f"task {fate.task} had ended before: {fate.state}")
    elif fate.state != "CANCELED":
        click.echo(f"task {fate.task} ended before it could be canceled: {fate.state}")
    else:
        click.echo(f"task {fate.task} is CANCELED")
