"""Reads a manifest from the disk."""

import errno
import os
import resource
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.files import Kind, Look
from malbox_cli.manifest.host import Host
from malbox_cli.manifest.manifest_file import PluginTable
from malbox_cli.manifest.specs import Location, Manifest, ManifestError, PluginSpec, Problem

__all__ = ["Disk", "check_manifest", "check_plugin_folder", "load_manifest", "this_host"]

_LOWEST_NICE = -20
_CAP_SYS_NICE = 23


class Disk:
    """The `Files` of this machine.

    Args:
        read: Every file that is read is added to it.
    """

    def __init__(self, read: set[Path] | None = None) -> None:
        self._read = read

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
        if self._read is not None:
            self._read.add(path)
        with path.open("rb") as file:
            return file.read(limit)


def this_host() -> Host:
    """Return what plugins get of this machine and this process."""
    return Host(
        python=Path(sys.executable),
        cpus=frozenset(os.sched_getaffinity(0)),
        lowest_nice=_lowest_nice(),
        is_root=os.getuid() == 0,
    )


def _lowest_nice() -> int:
    with suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        rights = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
        if int(rights, 16) >> _CAP_SYS_NICE & 1:
            return _LOWEST_NICE
    # The limit counts the other way round: it allows a niceness from 20 minus itself up.
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    lowest = _LOWEST_NICE if limit == resource.RLIM_INFINITY else 20 - limit
    return max(_LOWEST_NICE, min(0, lowest - os.getpriority(os.PRIO_PROCESS, 0)))


def load_manifest(path: Path, read: set[Path] | None = None) -> Manifest:
    """Return the manifest in a file, with every folder and program that it names found.

    Args:
        path: The file.
        read: Every file that was read for it is added to this, whatever was in it.

    Raises:
        ManifestError: It cannot be used; every error is in it, the notes are not.
    """
    manifest, problems = check_manifest(path, read)
    if manifest is None:
        raise ManifestError(tuple(problem for problem in problems if problem.severity == "error"))
    return manifest


def locate(path: Path) -> Location:
    """Return where the supervisor of a manifest is found. The plugins, their folders and programs are not looked at.

    A supervisor has to be found too when its manifest was changed, and what was changed is wrong.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
    """
    try:
        return _reader(path, path.absolute()).locate()
    except OSError as error:
        raise ManifestError(check_manifest(path)[1]) from error


def check_manifest(path: Path, read: set[Path] | None = None) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """Return the manifest, None if it has errors, and every problem: errors and notes in the order of the files."""
    try:
        absolute = path.absolute()
    except OSError as error:
        message = f"cannot be found: the current folder is not there any more ({error.strerror}); change to another"
        return None, (Problem(file=path, line=None, where="", message=message),)
    return _reader(path, absolute, read).read()


def check_plugin_folder(folder: Path) -> tuple[PluginSpec | None, tuple[Problem, ...]]:
    """Return what a manifest that names this folder (absolute) would run, None if it cannot, and every problem."""
    manifest = folder / "plugins.toml"
    table = PluginTable(id=folder.name, has_path=True, path=str(folder))
    return _reader(manifest, manifest).read_plugin(table)


def _reader(shown_path: Path, path: Path, read: set[Path] | None = None) -> Reader:
    return Reader(shown_path, path, Disk(read), this_host(), read_dotenv)
