"""Looks at the folders that malbox uses, and at the manifest."""

import os
import shlex
from pathlib import Path

from malbox_cli.doctor.checks import Check, Status, check_room, note, ok, problem
from malbox_cli.manifest.load import check_manifest
from malbox_cli.manifest.specs import Manifest
from malbox_cli.supervisor.ownership import require_nobody_needs
from malbox_cli.supervisor.run_folder import base_path, require_ours
from plugin_runtime.errors import MalboxError

__all__ = ["examine_default_root", "examine_manifest", "examine_runtime_folder", "examine_state_folder"]

NAME_OF_ROOT = "iceoryx2's own folder"


def examine_manifest(path: Path, *, is_named: bool) -> tuple[Manifest | None, Check]:
    """Read the manifest; return it, None if it cannot be used, and what is to be said of it.

    Args:
        path: Where it is.
        is_named: Whether somebody said so; otherwise there need not be one.
    """
    if not is_named and not os.path.lexists(path):
        return None, note("manifest", f"there is no {path} here: nothing is known of plugins", "malbox init writes one")
    manifest, problems = check_manifest(path)
    errors = [each for each in problems if each.severity == "error"]
    notes = f", {len(problems) - len(errors)} note(s)" if len(problems) > len(errors) else ""
    if manifest is None:
        check = shlex.join(["malbox", "check", "-f", str(path)])
        return None, problem("manifest", f"{len(errors)} problem(s){notes}; the first: {errors[0]}", f"see `{check}`")
    return manifest, ok("manifest", f"{path}: {len(manifest.names)} plugin(s) can be started{notes}")


def examine_runtime_folder() -> tuple[Path | None, Check]:
    """Return the folder of the runs, None if it cannot be used, and what is to be said of it. Nothing is made."""
    name = "runtime folder"
    try:
        base = base_path()
        try:
            status = base.lstat()
        except FileNotFoundError:
            place = _first_there(base)
            if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
                raise MalboxError(f"cannot make the folder {base}: {place} is no folder that we may write to") from None
            return base, ok(name, f"{base} is made when it is needed")
        require_ours(base, status)
    except MalboxError as error:
        text, _, fix = str(error).partition(": ")
        return None, problem(name, text, fix or "set MALBOX_RUNTIME_DIR to another folder")
    except OSError as error:
        return None, problem(name, f"{error.filename}: {error.strerror}", "set MALBOX_RUNTIME_DIR to another folder")
    return base, ok(name, f"{base} is ours alone")


def examine_state_folder(state_dir: Path) -> Check:
    """Return what is to be said of the folder of results and logs."""
    name = "state folder"
    fix = "name another folder as state_dir in the manifest"
    place = _first_there(state_dir)
    if not place.is_dir():
        return problem(name, f"{place} is no folder", fix)
    if not os.access(place, os.W_OK | os.X_OK):
        return problem(name, f"{place} may not be written to", fix)
    if place == state_dir:
        try:
            require_nobody_needs(state_dir)
        except MalboxError as error:
            text, _, fix_of_error = str(error).partition(": ")
            return problem(name, text, fix_of_error or fix)
    status = os.statvfs(place)
    return check_room(status.f_bavail * status.f_frsize, str(state_dir))


def examine_default_root(root: Path, *, is_wanted: bool) -> Check:
    """Return what is to be said of the folder that iceoryx2 uses where nobody names one.

    Args:
        root: The folder.
        is_wanted: Whether the manifest says ``domain = "default"``.
    """
    try:
        status = root.lstat()
    except FileNotFoundError:
        return ok(NAME_OF_ROOT, f"{root} is made when it is needed")
    except OSError as error:
        return Check(NAME_OF_ROOT, _severity(is_wanted), f"{root}: {error.strerror}", "see who made it")
    if status.st_uid != os.getuid():
        return Check(
            NAME_OF_ROOT,
            _severity(is_wanted),
            f'{root} belongs to user {status.st_uid}: domain = "default" does not work for us',
            "run as that user, remove it when nobody uses it, or leave out `domain`",
        )
    return ok(NAME_OF_ROOT, f"{root} is ours")


def _severity(is_wanted: bool) -> Status:
    return Status.PROBLEM if is_wanted else Status.NOTE


def _first_there(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path
