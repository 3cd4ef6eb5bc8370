"""`malbox logs`."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import FollowCommand, json_option, locate, manifest_option
from malbox_cli.output.text import safe
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.log_format import LogEntry

__all__ = ["command"]

DEFAULT_LINES = 100
ALL_LINES = sys.maxsize
LOOK_SECONDS = 0.1
"""How often logs that are followed are looked at."""


def _line_count(ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if text == "all":
        return ALL_LINES
    if not re.fullmatch("[0-9]{1,18}", text):
        raise click.BadParameter(f"{text!r} is not a number of lines: write one, or 'all'", ctx, parameter)
    return int(text)


def _seconds(ctx: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    from malbox_cli.manifest.units import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


@click.command(cls=FollowCommand, epilog="Example: malbox logs yara 'file-*' -n 20 --follow")
@manifest_option
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C; -f without a FILE does the same.")
@click.option(
    "-n",
    "--lines",
    callback=_line_count,
    metavar="N",
    help=f"Show the last N lines, or 'all'. By default {DEFAULT_LINES}; with --since, all.",
)
@click.option("--since", callback=_seconds, metavar="DURATION", help="Show only lines that are not older, such as 10m.")
@click.option(
    "--level",
    type=click.Choice(["trace", "debug", "info", "warning", "error"]),
    help="Show only what is of this level or a higher one; what was printed without one counts as info.",
)
@click.option("--task", type=click.IntRange(1), metavar="N", help="Show only what was logged and printed in a task.")
@click.option("--raw", is_flag=True, help="Print what the plugins printed, byte for byte, and nothing else.")
@json_option("Print one JSON object a line.")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
def command(
    manifest_path: Path,
    plugins: tuple[str, ...],
    lines: int | None,
    since: float | None,
    level: str | None,
    task: int | None,
    *,
    follow: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Show what the plugins printed and what malbox said of them, also after their end, merged by time.

    A PLUGIN may be a pattern, such as 'yara*'; the name of one with instances means all of them. Without any, all
    plugins are shown, and what malbox said of itself, whose log is called malbox.
    """
    from malbox_cli.store.log_file import log_folder
    from malbox_cli.store.logs import Logs

    if raw and as_json:
        raise click.UsageError("--raw and --json exclude each other: JSON has its own escapes")
    manifest = locate(manifest_path)
    folder = log_folder(manifest.state_dir)
    _check_names(manifest, folder, plugins)
    if lines is None:
        lines = DEFAULT_LINES if since is None else ALL_LINES
    now = time.time()
    oldest = 0 if since is None else int((now - since) * 1e6)
    render = _renderer(manifest, raw=raw, as_json=as_json)
    out = sys.stdout.buffer

    def show(entries: Iterable["LogEntry"]) -> None:
        for entry in entries:
            out.write(render(entry))
        out.flush()

    with Logs(folder, _patterns(manifest, plugins), only_printed=raw, wanted=_wanted(level, task)) as logs:
        if not logs.look():
            what = f"no log of {', '.join(plugins)}" if plugins else "no log"
            if not follow:
                raise MalboxError(f"there is {what} in {folder} yet: `malbox up` and `malbox run` write it")
            click.echo(f"malbox: there is {what} in {folder} yet; waiting for one", err=True)
        if lines != ALL_LINES:
            show(logs.last(lines, oldest))
        else:
            # Without --follow, what comes meanwhile, which may be faster than it can be shown, is not waited for.
            end = ALL_LINES if follow else int(now * 1e6)
            show(takewhile(lambda entry: entry.at <= end, logs.all(oldest)))
        while follow:
            news = logs.news()
            show(news)
            if not news:
                time.sleep(LOOK_SECONDS)


def _wanted(level: str | None, task: int | None) -> Callable[["LogEntry"], bool]:
    """Return what says whether an entry is of a level, and of a task; None: of any."""
    from malbox_cli.store.log_format import level_of

    order = ("trace", "debug", "info", "warning", "error")
    levels = {"output", *order} if level is None else set(order[order.index(level) :])
    if "info" in levels:
        levels.add("output")

    def is_wanted(entry: "LogEntry") -> bool:
        return level_of(entry) in levels and (task is None or (entry.said is not None and entry.said.task == task))

    return is_wanted


def _patterns(manifest: "Location", names: Sequence[str]) -> list[str]:
    """Return which logs are meant by names and patterns: those of all processes of a plugin whose name is among them.

    The plugin's name itself stays: it may have run as one process before.
    """
    ids = (
        process_id
        for plugin, process_ids in manifest.process_ids.items()
        if any(fnmatchcase(plugin, name) for name in names)
        for process_id in process_ids
    )
    return list(dict.fromkeys([*names, *ids]))


def _check_names(manifest: "Location", folder: Path, names: Iterable[str]) -> None:
    """Check that each name, or pattern, is one of a plugin of the manifest, or of a log that is there.

    Raises:
        click.UsageError: One is not.
    """
    from malbox_cli.manifest.specs import OWN_NAME
    from malbox_cli.manifest.suggest import did_you_mean
    from malbox_cli.store.log_file import log_names

    named = list(dict.fromkeys([*manifest.plugin_ids, *log_names(folder), OWN_NAME]))
    known = [*named, *manifest.groups]
    for name in names:
        if not any(fnmatchcase(one, name) for one in known):
            meant = did_you_mean(name, known) or f"; there are {', '.join(named)}"
            raise click.UsageError(f"{manifest.path} has no plugin {safe(repr(name))}{meant}")


def _renderer(manifest: "Location", *, raw: bool, as_json: bool) -> Callable[["LogEntry"], bytes]:
    """Return what makes of an entry what is printed."""
    from malbox_cli.output.log_text import LogText, log_json

    if raw:
        return lambda entry: entry.data
    if as_json:
        return log_json
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    plugins = manifest.groups
    return LogText(colour=colour, encoding=sys.stdout.encoding, with_date=True, plugins=plugins).render
