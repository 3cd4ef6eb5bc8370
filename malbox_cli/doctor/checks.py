"""What a check of the machine says, and what follows from numbers and names alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from malbox_cli.output.text import human_size

__all__ = [
    "Check",
    "Status",
    "check_descriptors",
    "check_machine",
    "check_python",
    "check_releases",
    "check_room",
    "check_shared_memory",
    "file_system_of",
    "note",
    "ok",
    "problem",
]

LEAST_PYTHON = (3, 11)
LEAST_ROOM = 64 << 20
"""Bytes on disk below which hardly a result can be kept."""
LITTLE_ROOM = 1 << 30


class Status(Enum):
    """How serious it is."""

    OK = "OK"
    NOTE = "NOTE"  # malbox works, but for something that one may want
    PROBLEM = "PROBLEM"  # it does not, or something is left that should not be


@dataclass(frozen=True, slots=True)
class Check:
    """One line.

    Attributes:
        name: What was looked at.
        status: How it is.
        message: What was found, and what it means.
        fix: What to do; empty where there is nothing to do.
    """

    name: str
    status: Status
    message: str
    fix: str = ""

    def as_json_object(self) -> dict[str, str]:
        """Return what `doctor --json` prints."""
        return {"name": self.name, "status": self.status.value, "message": self.message, "fix": self.fix}


def ok(name: str, message: str) -> Check:
    """Return that all is well."""
    return Check(name, Status.OK, message)


def note(name: str, message: str, fix: str = "") -> Check:
    """Return what is worth knowing."""
    return Check(name, Status.NOTE, message, fix)


def problem(name: str, message: str, fix: str) -> Check:
    """Return what has to be mended."""
    return Check(name, Status.PROBLEM, message, fix)


def check_machine(system: str, machine: str, release: str) -> Check:
    """Check what kind of machine this is, given what ``uname`` says."""
    if system == "Linux" and machine == "x86_64":
        return ok("machine", f"Linux {release} on x86-64")
    return problem("machine", f"{system} {release} on {machine}", "use Linux on x86-64: malbox knows no other")


def check_python(version: Sequence[int]) -> Check:
    """Check the interpreter's version."""
    text = ".".join(map(str, version[:3]))
    if tuple(version[:2]) >= LEAST_PYTHON:
        return ok("python", f"Python {text}")
    return problem("python", f"Python {text} is too old", "install malbox for Python 3.11 or newer")


def check_shared_memory(kind: str, size: int, free: int, needed: int, plugins: int) -> Check:
    """Check the place of shared memory.

    Args:
        kind: The type of its file system.
        size: How many bytes it has.
        free: How many of them are free.
        needed: How many are needed for the plugins to start.
        plugins: How many plugins there are.
    """
    name = "shared memory"
    text = f"/dev/shm has {human_size(size)}, {human_size(free)} free; {plugins} plugin(s) take {human_size(needed)}"
    if kind != "tmpfs":
        return problem(name, f"/dev/shm is no tmpfs but {kind or 'nothing'}", "mount it: mount -t tmpfs none /dev/shm")
    if free < needed:
        return problem(name, text, "make it larger (mount -o remount,size=2G /dev/shm; docker run --shm-size=2g)")
    if free < 4 * needed:
        return note(
            name, f"{text} at their start, and their results come on top", "make it larger, or remove what fills it"
        )
    return ok(name, text)


def check_descriptors(hard: int | None, needed: int, plugins: int) -> Check:
    """Check the limit on open descriptors.

    Args:
        hard: The hard limit; None: there is none.
        needed: How many the supervisor needs.
        plugins: For how many plugins that is.
    """
    text = f"{plugins} plugin(s) need {needed} open descriptors, and this process may have {hard or 'any number'}"
    if hard is not None and hard < needed:
        return problem(
            "descriptors", text, f"allow more with `ulimit -n {needed}` (systemd: LimitNOFILE), or run fewer"
        )
    return ok("descriptors", text)


def check_room(free: int, place: str) -> Check:
    """Check how much room is where results and logs go."""
    text = f"{place} has room for {human_size(free)}"
    if free < LEAST_ROOM:
        return problem("state folder", text, "make room there, or name another folder as state_dir in the manifest")
    if free < LITTLE_ROOM:
        return note("state folder", f"{text}, which is little for results", "make room there")
    return ok("state folder", text)


def check_releases(ours: str, plugins: Sequence[tuple[str, str]]) -> Check:
    """Check that every plugin's process has loaded our release of iceoryx2.

    Args:
        ours: The release that is installed here.
        plugins: The ids, and the release that each said it has.
    """
    name = "plugins' iceoryx2"
    others = [f"{plugin_id} has {release}" for plugin_id, release in plugins if release != ours]
    if others:
        return problem(
            name,
            f"{', '.join(others)}, and malbox {ours}: they do not understand each other",
            f"install iceoryx2=={ours} where the plugin runs",
        )
    return ok(name, f"{len(plugins)} running plugin(s) have said which they use: {ours}" if plugins else "nobody says")


def file_system_of(mounts: str, path: str) -> str:
    """Return the type of the file system that is mounted at a path, given the text of ``/proc/self/mounts``."""
    found = ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[1] == path:
            found = fields[2]  # the last one hides those before
    return found
