"""`malbox run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import (
    chosen,
    json_option,
    load,
    manifest_option,
    sample_path,
    settings_option,
    timeout_option,
    to_start,
    verbose_option,
)

if TYPE_CHECKING:
    from malbox_cli.commands.watching import Round
    from malbox_cli.manifest.specs import Manifest, PluginSpec

__all__ = ["command"]


@click.command(epilog="Example: malbox run /bin/ls --plugin file-info --json")
@manifest_option
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="NAME|DIR",
    help="Give them to this one only; may be repeated. A plugin's folder needs no manifest.",
)
@settings_option
@timeout_option("End each task after this time.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Put the results there too.")
@click.option("--watch", is_flag=True, help="Run again whenever a plugin, the manifest or a sample changes.")
@json_option("Print one JSON object a line, as it happens.")
@verbose_option
@click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    plugins: tuple[str, ...],
    settings: dict[str, str],
    timeout: float | None,
    output: Path | None,
    samples: tuple[str, ...],
    *,
    watch: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Start the plugins, give every SAMPLE to every one of them, show what they found, and stop them.

    No supervisor has to be running, and one that is stays as it is. With a plugin's folder instead of a name there is
    no manifest: write it with a slash, or where there is no manifest by its name. The state folder is then .malbox in
    the current folder.

    Ends with 0 if every task was completed, 1 if one
    failed, 124 if the time of one was over.

    With --watch it goes on until Ctrl-C: each time that something in a plugin's folder, the manifest, an env_file or a
    sample has changed, everything is read again and run from the beginning.
    """
    read: set[Path] = set()

    def prepare() -> "Round":
        from malbox_cli.commands.watching import Round, watched_by

        work = read_work()
        watched = watched_by(work.manifest, work.specs, work.samples, read, output)
        return Round(lambda: run(work), watched)

    def read_work() -> _Work:
        read.clear()
        manifest = _manifest_of_folders(ctx, manifest_path, plugins)
        names = plugins if manifest is None else ()
        if manifest is None:
            manifest = load(manifest_path, read)
        specs, given = to_start(manifest, names), chosen(manifest, names)
        return _Work(manifest, specs, given, [sample_path(sample) for sample in samples])

    def run(work: _Work) -> int:
        return _run(work, settings, timeout, output, as_json=as_json, verbose=verbose)

    if watch:
        from malbox_cli.commands.watching import run_and_watch

        ctx.exit(run_and_watch(prepare))
    ctx.exit(run(read_work()))


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to run, as it was read.

    Attributes:
        manifest: Whose plugins they are.
        specs: Those that are started.
        given: Those of them that get the samples.
        samples: Absolute paths.
    """

    manifest: "Manifest"
    specs: "Sequence[PluginSpec]"
    given: "Sequence[PluginSpec]"
    samples: list[str]


def _run(
    work: _Work,
    settings: dict[str, str],
    timeout: float | None,
    output: Path | None,
    *,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run it once; return the exit code."""
    from malbox_cli.output.printer import JsonPrinter, Printer, TextPrinter, save_results
    from malbox_cli.supervisor.console import Console
    from malbox_cli.supervisor.one_shot import run_once

    printer: Printer = JsonPrinter() if as_json else TextPrinter()
    console = Console(quiet=not verbose, stream=printer.stderr())
    take = printer.take if output is None else save_results(output, printer.take)
    try:
        return run_once(
            work.manifest,
            work.specs,
            work.samples,
            console,
            take,
            given=work.given,
            config=settings,
            timeout=timeout,
            verbose=verbose,
        )
    finally:
        console.close()  # first: taking the bars away erases what is printed at the same moment
        printer.close()


def _manifest_of_folders(ctx: click.Context, manifest_path: Path, plugins: tuple[str, ...]) -> "Manifest | None":
    """Return what stands in for a manifest where the plugins are named by their folders; None where they are not.

    Raises:
        click.UsageError: Some are and some are not, or a manifest is named too.
        ManifestError: One of the folders cannot be run.
    """
    folders = [name for name in plugins if "/" in name or name in (".", "..")]
    if not folders and plugins and not manifest_path.exists():
        folders = [name for name in plugins if (Path(name) / "plugin.toml").is_file()]
    if not folders:
        return None
    if names := [name for name in plugins if name not in folders]:
        message = f"{names[0]!r} is the name of a plugin and {folders[0]!r} a folder; a run has one or the other"
        raise click.UsageError(f"{message}: './{names[0]}' would be a folder too")
    if ctx.get_parameter_source("manifest_path") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"the folder {folders[0]!r} needs no manifest; leave out -f, or name a plugin of it")
    from malbox_cli.manifest.of_folders import manifest_of_folders

    try:
        base = Path.cwd()
    except OSError as error:
        raise click.UsageError(f"the current folder is not there any more: {error.strerror}") from error
    return manifest_of_folders([Path(folder) for folder in folders], base)
