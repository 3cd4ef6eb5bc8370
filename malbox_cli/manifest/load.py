"""Reads a manifest from the disk."""

import errno
import os
import shutil
import stat
import sys
from pathlib import Path

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.files import Kind, Look
from malbox_cli.manifest.manifest_file import PluginTable
from malbox_cli.manifest.specs import Manifest, ManifestError, PluginSpec, Problem

__all__ = ["Disk", "check_manifest", "check_plugin_folder", "load_manifest"]


class Disk:
    """The `Files` of this machine."""

    def look(self, path: Path) -> Look:
        """Return what is at an absolute path, symbolic links followed; never raises."""
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return Look(Kind.MISSING)
            return Look(Kind.UNREACHABLE, reason=error.strerror or str(error))
        except ValueError as error:  # a NUL, or what the file system's encoding cannot express
            return Look(Kind.UNREACHABLE, reason=str(error))
        if stat.S_ISDIR(mode):
            return Look(Kind.FOLDER)
        if stat.S_ISREG(mode):
            return Look(Kind.FILE, may_execute=os.access(path, os.X_OK))
        return Look(Kind.OTHER)

    def find_program(self, name: str) -> Path | None:
        """Return the absolute path of a program on PATH; None if it is not there."""
        found = shutil.which(name)
        return Path(found).absolute() if found is not None else None

    def read(self, path: Path, limit: int) -> bytes:
        """Return what is in a file, cut after `limit` bytes.

        Raises:
            OSError: It could not be read.
        """
        with path.open("rb") as file:
            return file.read(limit)


def load_manifest(path: Path) -> Manifest:
    """Return the manifest in a file, with every folder and program that it names found.

    Raises:
        ManifestError: It cannot be used; every error is in it, the notes are not.
    """
    manifest, problems = check_manifest(path)
    if manifest is None:
        raise ManifestError(tuple(problem for problem in problems if problem.severity == "error"))
    return manifest


def check_manifest(path: Path) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """Return the manifest, None if it has errors, and every problem: errors and notes in the order of the files."""
    try:
        absolute = path.absolute()
    except OSError as error:
        message = f"cannot be found: the current folder is not there any more ({error.strerror}); change to another"
        return None, (Problem(file=path, line=None, where="", message=message),)
    return Reader(path, absolute, Disk(), Path(sys.executable)).read()


def check_plugin_folder(folder: Path) -> tuple[PluginSpec | None, tuple[Problem, ...]]:
    """Return what a manifest that names this folder (absolute) would run, None if it cannot, and every problem."""
    manifest = folder / "plugins.toml"
    table = PluginTable(id=folder.name, has_path=True, path=str(folder))
    return Reader(manifest, manifest, Disk(), Path(sys.executable)).read_plugin(table)
