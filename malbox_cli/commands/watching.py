"""`malbox run --watch`: run, wait until something changes, run again."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.changes import Changes, Watched, require_watchfiles
from malbox_cli.output.text import safe
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Manifest, PluginSpec

__all__ = ["Round", "run_and_watch", "watched_by"]

SHOWN = 3
"""Changes that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run.

    Attributes:
        run: Does it, and returns the exit code, which is above 128 where a signal came.
        watched: What it depends on.
    """

    run: Callable[[], int]
    watched: Watched


def run_and_watch(prepare: Callable[[], Round]) -> int:
    """Run, and again whenever something changes, until a signal comes; return the exit code for that.

    Args:
        prepare: Reads what there is to run. What it raises the first time is raised here; later it is told, and after
            the next change it is tried again.

    Raises:
        click.UsageError: What watches is not installed, or the first round cannot be run.
        MalboxError: The first round cannot be run, or its files cannot be watched.
        KeyboardInterrupt: Ctrl-C came between two rounds.
    """
    require_watchfiles()
    watched = prepare().watched
    changes = Changes(watched)
    try:
        _say(f"watching {_list(sorted(watched.folders | watched.files))}; Ctrl-C ends")
        while True:
            try:
                # Only now, and again where other files are to be watched: whatever changed meanwhile was seen.
                round_ = prepare()
                if round_.watched != watched:
                    another = Changes(round_.watched)
                    changes.close()
                    changes, watched = another, round_.watched
                    round_ = prepare()
                if (code := round_.run()) > 128:
                    return code
            except click.UsageError as error:
                _say(error.format_message())
            except MalboxError as error:
                for line in str(error).splitlines():
                    _say(line)
            changed = changes.wait()
            _say(f"{_list(changed)} {'has' if len(changed) == 1 else 'have'} changed")
    finally:
        changes.close()


def watched_by(
    manifest: "Manifest",
    specs: "Iterable[PluginSpec]",
    samples: Iterable[str],
    read: Iterable[Path],
    output: Path | None,
) -> Watched:
    """Return what a run depends on, and what it writes to itself.

    Args:
        manifest: Whose plugins run.
        specs: Those that run.
        samples: Absolute paths.
        read: The files that were read for the manifest.
        output: Where the results go besides the state folder.
    """
    folders: set[str] = set()
    files = {os.path.abspath(path) for path in read} | set(samples)
    for spec in specs:
        # A command without a `path` runs in the manifest's folder, where there may be anything.
        if spec.cwd != manifest.path.parent or (spec.cwd / "plugin.toml").is_file():
            folders.add(os.path.abspath(spec.cwd))
        else:
            files |= {str(path) for argument in spec.argv[1:] if (path := spec.cwd / argument).is_file()}
    files |= {os.path.realpath(file) for file in files}
    ignored = {os.path.abspath(folder) for folder in (manifest.state_dir, output) if folder is not None}
    return Watched(frozenset(folders), frozenset(files), frozenset(ignored))


def _list(paths: Sequence[str]) -> str:
    shown = [_short(path) for path in paths[:SHOWN]]
    if more := len(paths) - len(shown):
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _short(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except OSError:  # the current folder is not there any more
        return path
    return path if relative.startswith("..") else relative


def _say(text: str) -> None:
    click.echo(f"malbox: {safe(text)}", err=True)
