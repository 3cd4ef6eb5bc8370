"""`malbox status`."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.client.following import READY
from malbox_cli.commands.common import client_of, json_option, locate, manifest_option

if TYPE_CHECKING:
    from typing import NoReturn

    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from malbox_cli.client.plain import Client
    from malbox_cli.control.messages import PluginStatus, SupervisorStatus

__all__ = ["command"]

EXIT_NOT_READY = 3
PIPED_WIDTH = 10_000
"""Columns where nobody looks: what reads the table from a pipe wants a line for each plugin."""
LEAST_WIDTH = 80
"""Columns below which a terminal wraps the lines itself: in narrower ones a word would have a letter on each line."""
WIDTH_OF_REASONS = 120
"""Columns below which reasons have lines of their own: beside the rest they would have a word on each line."""
STYLES = {
    "READY": "green",
    "IDLE": "dim green",
    "DEGRADED": "bold yellow",
    "FAILED": "bold red",
    **dict.fromkeys(("STARTING", "STOPPING", "BACKOFF"), "yellow"),
}
WATCH_SECONDS = 1.0


@click.command(epilog="Example: malbox status --json | jq '.plugins[].state'")
@manifest_option
@click.option("-w", "--watch", is_flag=True, help="Show it again every second, until Ctrl-C or its end.")
@json_option("Print one JSON object; with --watch one a line.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, *, watch: bool, as_json: bool) -> None:
    """Show the plugins of a running supervisor; ends with 3 if one of them is neither READY nor IDLE."""
    from malbox_cli.control.problems import NoSupervisor, SupervisorLost

    manifest = locate(manifest_path)
    with client_of(manifest) as client:
        if watch:
            try:
                _watch(client, as_json=as_json)
            except SupervisorLost as error:
                raise NoSupervisor(f"the supervisor of {manifest.path} has ended") from error
        status = _ask(client)
    if as_json:
        click.echo(json.dumps(status.as_json_object()))
    else:
        console = _console()
        console.print(_view(status, console.width))
    ctx.exit(0 if all(plugin.state in READY for plugin in status.plugins) else EXIT_NOT_READY)


def _watch(client: "Client", *, as_json: bool) -> "NoReturn":
    """Show how everything is, again and again, on a terminal in one place."""
    from rich.live import Live

    if as_json:
        while True:
            click.echo(json.dumps(_ask(client).as_json_object()))
            time.sleep(WATCH_SECONDS)
    console = _console()
    if not console.is_terminal:
        while True:
            console.print(_view(_ask(client), console.width))
            time.sleep(WATCH_SECONDS)
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            live.update(_view(_ask(client), console.width), refresh=True)
            time.sleep(WATCH_SECONDS)


def _ask(client: "Client") -> "SupervisorStatus":
    status = client.status()
    return replace(status, plugins=tuple(map(_measured, status.plugins)))


def _measured(plugin: "PluginStatus") -> "PluginStatus":
    """Add what the kernel says of a plugin's process: its memory, and its share of a core since it was started."""
    import psutil

    if plugin.pid is None:
        return plugin
    try:
        process = psutil.Process(plugin.pid)
        used = process.cpu_times()
        share = 100 * (used.user + used.system) / plugin.uptime if plugin.uptime else 0.0
        return replace(plugin, rss=process.memory_info().rss, cpu=round(share, 2))
    except psutil.Error:
        return plugin


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(console.width, LEAST_WIDTH) if console.is_terminal else PIPED_WIDTH
    return console


def _view(status: "SupervisorStatus", width: int) -> "Group":
    """Return all that is shown; below the table, where it is too narrow for them, why plugins are not READY."""
    from rich.console import Group
    from rich.text import Text

    from malbox_cli.output.text import safe

    if width >= WIDTH_OF_REASONS:
        return Group(_header(status), _table(status, with_reasons=True))
    reasons = [Text(f"{each.id}: {safe(each.reason)}") for each in status.plugins if each.state not in READY]
    return Group(_header(status), _table(status, with_reasons=False), *reasons)


def _header(status: "SupervisorStatus") -> "Text":
    from rich.text import Text

    from malbox_cli.output.text import human_duration

    return Text(f"supervisor {status.pid}, up {human_duration(status.uptime)}, domain {status.domain}", style="dim")


def _table(status: "SupervisorStatus", *, with_reasons: bool) -> "Table":
    from rich.table import Table

    from malbox_cli.output.text import human_duration, human_size, safe

    table = Table(box=None, pad_edge=False)
    for heading in ("PLUGIN", "STATE", "PID", "UP", "RESTARTS", "MEMORY", "CPU", "TASKS", *["REASON"] * with_reasons):
        table.add_column(heading, overflow="fold")
    for plugin in status.plugins:
        tasks = plugin.tasks
        done = f"{tasks['completed']} done"
        done += "".join(f", {tasks[key]} {key}" for key in ("failed", "canceled", "running", "queued") if tasks[key])
        table.add_row(
            plugin.id,
            f"[{STYLES.get(plugin.state, 'dim')}]{plugin.state}[/]",
            "-" if plugin.pid is None else str(plugin.pid),
            "-" if plugin.uptime is None else human_duration(plugin.uptime),
            str(plugin.restarts),
            "-" if plugin.rss is None else human_size(plugin.rss),
            "-" if plugin.cpu is None else f"{plugin.cpu:.1f} %",
            done,
            *[safe(plugin.reason).replace("[", r"\[")] * with_reasons,
        )
    return table
