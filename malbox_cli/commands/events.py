"""`malbox events`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import FollowCommand, client_of, json_option, locate, manifest_option
from malbox_cli.output.text import one_line

if TYPE_CHECKING:
    from malbox_cli.control.news import News

__all__ = ["command"]


@click.command(cls=FollowCommand, epilog="Example: malbox events -f --json | jq -r .state")
@manifest_option
@click.option("--follow", is_flag=True, help="Go on with what changes; -f without a FILE does the same.")
@json_option("Print one JSON object a line, as it happens.")
def command(manifest_path: Path, *, follow: bool, as_json: bool) -> None:
    """Show how the supervisor and its plugins stand, and with --follow then what changes."""
    from malbox_cli.control.news import SupervisorNews, news_fields

    with client_of(locate(manifest_path)) as client:
        left = 0
        for news in client.watch():
            if isinstance(news, SupervisorNews):
                left = len(news.plugins) + 1  # with this one
            click.echo(json.dumps(news_fields(news)) if as_json else _text(news))
            left -= 1
            if not follow and left <= 0:
                return


def _text(news: "News") -> str:
    from malbox_cli.control.news import SupervisorNews

    clock = time.strftime("%H:%M:%S", time.localtime(news.time))
    if isinstance(news, SupervisorNews):
        return f"{clock}  supervisor {news.pid} is {news.state}"
    process = "" if news.pid is None else f" (process {news.pid})"
    first = f"{clock}  {news.plugin} {news.state}{process}: {one_line(news.reason)}"
    return "\n".join([first, *(f"          | {one_line(line)}" for line in news.last_lines)])
