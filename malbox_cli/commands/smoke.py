"""`malbox smoke`."""

import json
from pathlib import Path

import click

from malbox_cli.commands.common import chosen, json_option, load, manifest_option, to_start, verbose_option

__all__ = ["command"]


@click.command(epilog="Example: malbox smoke --junit smoke.xml")
@manifest_option
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit's XML too.")
@json_option("Print one JSON object for each test, as it ends.")
@verbose_option
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    junit: Path | None,
    plugins: tuple[str, ...],
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Run the smoke tests of the manifest's plugins, or of those named, against real processes.

    A test is a table [[plugins.NAME.smoke]]: a sample, and what must hold of the results. No supervisor has to be
    running, one that is stays as it is, and nothing is written to the state folder. Ends with 0 if every test passed,
    with 1 if one failed, with 2 if there is none.
    """
    from malbox_cli.output.text import human_duration, one_line, safe
    from malbox_cli.smoke.judge import Judgement
    from malbox_cli.smoke.junit import junit_xml
    from malbox_cli.smoke.run import run_smoke
    from malbox_cli.supervisor.console import Console
    from plugin_runtime.errors import MalboxError

    manifest = load(manifest_path)
    names = dict.fromkeys(spec.pool for spec in chosen(manifest, plugins))
    tests = [test for test in manifest.smoke if test.plugin in names]
    if not tests:
        whose = f" of {', '.join(names)}" if plugins else ""
        raise click.UsageError(
            f"{manifest_path} has no smoke test{whose}: add a table [[plugins.{next(iter(names))}.smoke]] with"
            ' text = "..." or sample = "FILE", and what must hold, such as results = ["report"]'
        )

    def show(judgement: Judgement) -> None:
        test = judgement.test
        if as_json:
            fields = {
                "type": "smoke",
                "plugin": test.plugin,
                "name": test.name,
                "passed": judgement.passed,
                "outcome": judgement.outcome,
                "seconds": round(judgement.seconds, 6),
                "failures": judgement.failures,
            }
            click.echo(json.dumps(fields))
            return
        word = click.style("ok  ", fg="green") if judgement.passed else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{word} {one_line(test.plugin)} {one_line(test.name)} ({human_duration(judgement.seconds)})")
        for failure in judgement.failures:
            click.echo("     " + safe(failure).replace("\n", "\n     "))

    console = Console(quiet=not verbose)
    try:
        judgements, ending = run_smoke(
            manifest,
            tests,
            to_start(manifest, dict.fromkeys(test.plugin for test in tests)),
            console,
            show,
            verbose=verbose,
        )
    finally:
        console.close()
    if junit is not None:
        try:
            junit.write_bytes(junit_xml(judgements))
        except OSError as error:
            raise MalboxError(f"cannot write {junit}: {error.strerror}") from error
    failed = sum(not judgement.passed for judgement in judgements)
    click.echo(f"{len(judgements)} smoke tests, {failed} failed", err=True)
    ctx.exit(ending.code if ending.was_interrupted else 1 if failed else 0)
