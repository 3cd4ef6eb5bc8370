"""`malbox doctor`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from malbox_cli.commands.common import json_option, manifest_option
from malbox_cli.output.text import one_line

if TYPE_CHECKING:
    from malbox_cli.doctor.checks import Check

__all__ = ["command"]

STYLES = {"OK": "green", "NOTE": "yellow", "PROBLEM": "red"}


@click.command(epilog="Example: malbox doctor --clean")
@manifest_option
@click.option("--clean", is_flag=True, help="Remove what runs have left that were killed.")
@json_option("Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, *, clean: bool, as_json: bool) -> None:
    """Say what is wrong with this machine, what it means and what to do: a line for each thing that was looked at.

    There need not be a manifest. Ends with 0 if nothing is a PROBLEM, with 1 otherwise.
    """
    from malbox_cli.doctor.examine import examine

    is_named = ctx.get_parameter_source("manifest_path") is not ParameterSource.DEFAULT
    findings = examine(manifest_path, is_named=is_named, cleaning=clean)
    if as_json:
        document: dict[str, object] = {
            "ok": findings.is_well,
            "checks": [check.as_json_object() for check in findings.checks],
        }
        if clean:
            document["removed"] = list(findings.removed)
        click.echo(json.dumps(document))
    else:
        width = max(len(check.name) for check in findings.checks)
        for check in findings.checks:
            _print(check, width)
        if clean:
            click.echo(f"removed: {', '.join(findings.removed) or 'nothing, there was nothing to remove'}")
    ctx.exit(0 if findings.is_well else 1)


def _print(check: "Check", width: int) -> None:
    status = check.status.value
    text = one_line(check.message)
    if check.fix:
        text += f" → {one_line(check.fix)}"
    click.echo(f"{click.style(f'{status:<7}', fg=STYLES[status])}  {check.name:<{width}}  {text}")
