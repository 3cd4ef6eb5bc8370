"""Looks for what dead runs have left, and removes it; what living ones have, and other users, is left alone."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from malbox_cli.doctor.checks import Check, note, ok, problem
from malbox_cli.doctor.processes import end_orphans, find_orphans
from malbox_cli.supervisor.run_folder import nonce_of, prefix_of, prefix_of_runs, remove_leftovers, runs_in
from plugin_runtime.errors import MalboxError

__all__ = ["clean", "clean_default_domain", "examine_default_domain", "examine_leftovers"]

SHARED_MEMORY = Path("/dev/shm")
FIX = "malbox doctor --clean"
MAX_NAMED = 5
DEAD_NODES = "iceoryx2's dead nodes"


def examine_leftovers(base: Path) -> list[Check]:
    """Return what is to be said of what dead runs left.

    Args:
        base: The folder of this user's runs; it need not exist.
    """
    over = runs_in(base)[1]
    orphans = find_orphans(_nonces(over))
    memory = _stray_memory(base)
    return [
        problem("left processes", f"plugins without a supervisor still run: {_list(orphans)}", FIX)
        if orphans
        else ok("left processes", "none"),
        note("left runs", f"killed runs left {_list(over)}; the next `malbox up` or `run` removes that", FIX)
        if over
        else ok("left runs", "none"),
        problem("left shared memory", f"{len(memory)} file(s) of runs that are over: {_list(memory)}", FIX)
        if memory
        else ok("left shared memory", "none"),
    ]


def clean(base: Path) -> list[str]:
    """Remove what dead runs left; return what was removed, in words."""
    over = runs_in(base)[1]
    removed = []
    if count := end_orphans(_nonces(over)):
        removed.append(f"{count} process(es)")
    if count := remove_leftovers(base):
        removed.append(f"{count} folder(s) of runs")
    files = 0
    for file in _stray_memory(base):
        with suppress(OSError):
            file.unlink()
            files += 1
    if files:
        removed.append(f"{files} file(s) in shared memory")
    with suppress(OSError):
        base.rmdir()  # it stays where a run has its folder in it
    return removed


def examine_default_domain(root: Path) -> Check:
    """Return what is to be said of dead nodes in iceoryx2's own domain, whose folder is `root`."""
    if not root.exists():
        return ok(DEAD_NODES, "none")
    from plugin_runtime.ports.iceoryx_cleaning import processes_of_default_domain

    try:
        living, dead = processes_of_default_domain()
    except MalboxError as error:
        return note(DEAD_NODES, f"nobody can say: {error}")
    if not dead:
        return ok(DEAD_NODES, "none")
    text = f"{len(dead)} ended process(es) left theirs in {root}"
    if living:
        return note(DEAD_NODES, f"{text}; {len(living)} other(s) use it, and iceoryx2 cleans up when they need it")
    if root.stat().st_uid != os.getuid():
        return note(DEAD_NODES, f"{text}, which is another user's")
    return note(DEAD_NODES, text, FIX)


def clean_default_domain(root: Path) -> list[str]:
    """Remove what is dead in iceoryx2's own domain, if that is ours and nothing in it lives; return what, in words."""
    if not root.exists() or root.stat().st_uid != os.getuid():
        return []
    from plugin_runtime.ports.iceoryx_cleaning import clean_up_default_domain, processes_of_default_domain

    try:
        living, dead = processes_of_default_domain()
        if living or not dead:
            return []
        clean_up_default_domain(dead)
    except MalboxError:
        return []  # what is still there is said by the check that follows
    return [f"{len(dead)} dead node(s) in {root}"]


def _nonces(runs: list[Path]) -> set[int]:
    return {nonce for nonce in map(nonce_of, runs) if nonce}


def _stray_memory(base: Path) -> list[Path]:
    """Return this user's files in shared memory that are of no run that has a folder, and that nobody uses."""
    # First the files: one of a run that begins meanwhile is not among them, and the folder of any other is there.
    files = [file for file in SHARED_MEMORY.glob(f"{prefix_of_runs(base)}*") if _is_ours(file)]
    if not files:
        return []
    living, over = runs_in(base)
    kept = tuple(prefix_of(folder) for folder in (*living, *over))
    # Folders of runs elsewhere may have the same beginning; it has three digits only.
    used = _mapped_files()
    return sorted(file for file in files if not file.name.startswith(kept) and str(file) not in used)


def _is_ours(file: Path) -> bool:
    try:
        return file.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _mapped_files() -> set[str]:
    """Return the files in shared memory that any process has in its memory, as far as we may know."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                text = Path(f"/proc/{name}/maps").read_bytes().decode("utf-8", "backslashreplace")
                found |= {line[line.index("/") :] for line in text.splitlines() if str(SHARED_MEMORY) in line}
    return found


def _list(things: Sequence[object]) -> str:
    text = ", ".join(str(thing) for thing in things[:MAX_NAMED])
    return text if len(things) <= MAX_NAMED else f"{text} and {len(things) - MAX_NAMED} more"
