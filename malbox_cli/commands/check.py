"""`malbox check`."""

import json
from collections import Counter
from pathlib import Path

import click

from malbox_cli.commands.common import json_option, manifest_option

__all__ = ["command"]


@click.command(epilog="Example: malbox check -f plugins.toml")
@manifest_option
@json_option("Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, manifest_path: Path, *, as_json: bool) -> None:
    """Read a manifest as `up` would, and print every problem with its line.

    Ends with 0 if the manifest can be used, with 2 if it cannot. Notes are no problems.
    """
    from malbox_cli.manifest.load import check_manifest

    manifest, problems = check_manifest(manifest_path)
    if as_json:
        rows = [
            {
                "severity": problem.severity,
                "file": str(problem.file),
                "line": problem.line,
                "where": problem.where,
                "message": problem.message,
            }
            for problem in problems
        ]
        specs = () if manifest is None else manifest.plugins
        plugins = [{"id": spec.id, "group": spec.pool, "argv": spec.argv} for spec in specs]
        click.echo(json.dumps({"ok": manifest is not None, "plugins": plugins, "problems": rows}))
    else:
        for problem in problems:
            style = "red" if problem.severity == "error" else "yellow"
            click.echo(f"{click.style(problem.severity, fg=style)}: {problem}")
        if manifest is not None:
            counts = Counter(spec.pool for spec in manifest.plugins)
            names = ", ".join(f"{name} ({count} instances)" if count > 1 else name for name, count in counts.items())
            click.echo(f"{manifest_path}: {len(counts)} plugin(s) can be started: {names}")
    ctx.exit(0 if manifest is not None else 2)
