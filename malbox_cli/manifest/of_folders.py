"""A manifest that nobody wrote: that of a few plugin folders."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from malbox_cli.manifest.assemble import PLUGIN_FILE
from malbox_cli.manifest.load import check_plugin_folder
from malbox_cli.manifest.render import id_for
from malbox_cli.manifest.specs import (
    DEFAULT_STATE_DIR,
    OWN_NAME,
    Manifest,
    ManifestError,
    PluginSpec,
    Problem,
)

__all__ = ["manifest_of_folders"]


def manifest_of_folders(folders: Sequence[Path], base: Path) -> Manifest:
    """Return what a manifest in the folder `base` would say that `malbox init` made of these plugins.

    Args:
        folders: The plugins' folders; one that is named twice counts once.
        base: Where the state folder is, absolute.

    Raises:
        ManifestError: One of them cannot be run.
    """
    taken = {OWN_NAME}
    specs: list[PluginSpec] = []
    problems: list[Problem] = []
    for folder in dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders):
        if not (folder / PLUGIN_FILE).is_file():
            what = f"has no {PLUGIN_FILE}" if folder.is_dir() else "is no folder"
            message = f"{what}; name the folder of a plugin, which 'malbox new NAME' makes"
            problems.append(Problem(file=folder, line=None, where="", message=message))
            continue
        spec, found = check_plugin_folder(folder)
        problems += (_at_folder(problem, folder) for problem in found if problem.severity == "error")
        if spec is not None:
            specs.append(replace(spec, id=id_for(folder.name, taken)))
    if problems:
        raise ManifestError(tuple(problems))
    return Manifest(path=base / "plugins.toml", state_dir=base / DEFAULT_STATE_DIR, plugins=tuple(specs))


def _at_folder(problem: Problem, folder: Path) -> Problem:
    """Return a problem as one of a folder, where it is of the manifest's table, which nobody has written."""
    return problem if problem.file.name == PLUGIN_FILE else replace(problem, file=folder, where="", line=None)
