"""Finds the plugins that a new manifest could run."""

import os
from collections.abc import Sequence
from pathlib import Path

from malbox_cli.manifest.assemble import PLUGIN_FILE
from malbox_cli.manifest.load import check_plugin_folder
from malbox_cli.manifest.render import FoundPlugin, render_manifest

__all__ = ["FoundPlugin", "examine_plugin_folder", "find_plugin_folders", "render_manifest"]

# Folders that hold other people's files, built or fetched; hidden ones are skipped as well.
_SKIPPED = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages", "target", "venv"})
_DEEPEST = 8  # folders below a root; a plugin further down is named by hand


def find_plugin_folders(roots: Sequence[Path]) -> list[Path]:
    """Return the folders with a plugin.toml, at or below the roots, absolute, each once.

    The roots come in the order given and what is below each sorted by path. A plugin's own folder is not searched
    further, symbolic links are not followed, and hidden and build folders are left out, as is what cannot be read.
    """
    found: dict[Path, None] = {}
    for root in roots:
        base = Path(os.path.realpath(root))  # unlike resolve(), it does not raise for links in a circle
        for current, folders, files in os.walk(base):
            folder = Path(current)
            if PLUGIN_FILE in files:
                found[folder] = None
                folders.clear()
                continue
            deep = len(folder.relative_to(base).parts) >= _DEEPEST
            folders[:] = [] if deep else sorted(n for n in folders if not n.startswith(".") and n not in _SKIPPED)
    return list(found)


def examine_plugin_folder(folder: Path) -> FoundPlugin:
    """Return what a manifest would have to know of a plugin's folder: what it does, and why it cannot be run if so."""
    absolute = Path(os.path.realpath(folder))
    try:
        str(absolute).encode()
    except UnicodeEncodeError:
        return FoundPlugin(folder=absolute, fault="its path is not UTF-8, so TOML cannot name it; rename the folder")
    spec, problems = check_plugin_folder(absolute)
    if spec is not None:
        return FoundPlugin(folder=absolute, description=spec.description)
    fault = next((problem for problem in problems if problem.severity == "error"), None)
    return FoundPlugin(folder=absolute, fault=fault.message if fault is not None else "it cannot be run")
