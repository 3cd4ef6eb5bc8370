"""`malbox prune`."""

import json
import time
from pathlib import Path

import click

from malbox_cli.commands.common import json_option, locate, manifest_option

__all__ = ["command"]


def _age(ctx: click.Context, parameter: click.Parameter, text: str) -> float:
    from malbox_cli.output.moments import parse_age

    try:
        return parse_age(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


@click.command(epilog="Example: malbox prune --older-than 30d --dry-run")
@manifest_option
@click.option(
    "--older-than",
    "age",
    required=True,
    callback=_age,
    metavar="AGE",
    help="Remove what ended longer ago than this, such as 12h, 30d or 8w.",
)
@click.option("--dry-run", is_flag=True, help="Only say how much that would be.")
@json_option("Print one JSON object.")
def command(manifest_path: Path, age: float, *, dry_run: bool, as_json: bool) -> None:
    """Remove tasks that ended long ago, with their results and the copies of their samples.

    A supervisor may be running. Tasks that wait or run stay, and so does every file that a newer task has too.
    """
    from malbox_cli.client.kept import require_ledger
    from malbox_cli.output.text import human_size
    from malbox_cli.store.prune import prune

    manifest = locate(manifest_path)
    require_ledger(manifest)
    pruned = prune(manifest.state_dir, time.time() - age, dry_run=dry_run)
    if as_json:
        fields = {"tasks": pruned.tasks, "results": pruned.results, "bytes": pruned.bytes, "dry_run": dry_run}
        click.echo(json.dumps(fields))
        return
    what = f"{_count(pruned.tasks, 'task')} with {_count(pruned.results, 'result')}, {human_size(pruned.bytes)}"
    click.echo(f"would remove {what}" if dry_run else f"removed {what}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
