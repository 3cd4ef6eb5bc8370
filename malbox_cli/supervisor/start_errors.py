"""Why a plugin's process could not be started, in a sentence, and what to do."""

import errno
from dataclasses import dataclass
from typing import Literal

from malbox_cli.manifest.specs import PluginSpec

__all__ = ["FileKind", "ProgramFile", "is_transient", "why_not_started"]

FileKind = Literal["missing", "hidden", "folder", "special", "unreadable", "empty", "script", "elf", "text", "data"]

MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}
"""What the numbers of ELF are called by `uname -m`."""
PASSING = frozenset(
    {
        *(errno.EAGAIN, errno.ENOMEM, errno.ENOSPC),  # no process, memory or place is left at the moment
        *(errno.EMFILE, errno.ENFILE),  # nor a descriptor
        *(errno.EINTR, errno.ETXTBSY),
    }
)
"""The errors whose cause goes away without anybody who mends it."""


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """What the file of a program looks like.

    Attributes:
        kind: What it is; ``hidden``: a folder above it may not be entered.
        executable: Whether we may execute it, as far as its mode says.
        noexec: Whether nothing on its file system may be executed.
        interpreter: What a script's first line names, or the loader of an ELF file; empty: none.
        interpreter_exists: Whether that is there.
        interpreter_executable: Whether we may execute that.
        machine: The number of the machine that an ELF file is for.
    """

    kind: FileKind
    executable: bool = False
    noexec: bool = False
    interpreter: str = ""
    interpreter_exists: bool = False
    interpreter_executable: bool = False
    machine: int = 0


def is_transient(number: int | None) -> bool:
    """Return whether a start that failed with this error may go well if it is only tried again."""
    return number in PASSING


def why_not_started(
    spec: PluginSpec, step: str, number: int | None, reason: str, file: ProgramFile, machine: str
) -> str:
    """Return why a plugin's process was not started.

    Args:
        spec: What should have run.
        step: What failed: the launcher's name for it.
        number: The error's number.
        reason: The error in the words of the system.
        file: What the program's file looks like.
        machine: What this machine is called.
    """
    match step:
        case "folder" if number in (errno.ENOENT, errno.ENOTDIR):
            return f"its folder {spec.cwd} does not exist any more"
        case "folder":
            return f"its folder {spec.cwd} cannot be entered: {reason}"
        case "exec":
            return f"cannot start {spec.argv[0]}: {_why_not_executed(number, reason, file, machine)}"
        case "clone" if number == errno.EAGAIN:
            why = "this user may have no further process (see `ulimit -u`)"
        case "nofile" if number == errno.EPERM:
            why = (
                f"it may not have {spec.limits.nofile} open descriptors: lower limits.nofile to what `ulimit -Hn` says "
                "(for root, `sysctl fs.nr_open`)"
            )
        case "memory" | "cpu_time" | "procs" | "nofile":
            why = f"its limits.{step} cannot be set: {reason}"
        case "nice" if number in (errno.EPERM, errno.EACCES):
            why = f"only root may give it nice = {spec.nice}: use one of 0 or more"
        case "cpus" if number == errno.EINVAL:
            why = f"it may run on none of its cpus ({', '.join(map(str, sorted(spec.cpus or ())))}): see `nproc`"
        case _:
            why = f"{reason} ({step})"
    return f"cannot start {spec.argv[0]}: {why}"


def _why_not_executed(number: int | None, reason: str, file: ProgramFile, machine: str) -> str:
    match number:
        case errno.ENOENT if file.kind == "script":
            return _why_no_interpreter(file)
        case errno.ENOENT if file.kind == "elf" and file.interpreter and not file.interpreter_exists:
            return (
                f"its loader {file.interpreter} does not exist: it was built for another libc or another system; "
                "install that one's, or use a build for this system"
            )
        case errno.ENOENT | errno.ENOTDIR:
            return "it does not exist"
        case errno.EACCES:
            return _why_not_allowed(file)
        case errno.ENOEXEC:
            return _why_no_program(file, machine)
        case errno.E2BIG:
            return "its arguments and environment are too large; shorten its config"
        case errno.ETXTBSY:
            return "somebody is still writing it; try again when that is done"
        case errno.ENOMEM:
            return "there is no memory for it, or its limits.memory leaves too little to begin with"
        case _:
            return reason


def _why_no_interpreter(file: ProgramFile) -> str:
    if file.interpreter.endswith("\r"):
        return "its first line ends in a carriage return, as on Windows: convert it with `sed -i 's/\\r$//'`"
    if file.interpreter_exists:  # whose own interpreter or loader is missing
        return f"the interpreter {file.interpreter} that its first line names cannot be started"
    return (
        f"the interpreter {file.interpreter} that its first line names does not exist: install it, or correct the line"
    )


def _why_not_allowed(file: ProgramFile) -> str:
    if file.kind == "folder":
        return "it is a folder: name a program in it"
    if file.kind == "special":
        return "it is no file: name a program"
    if file.kind == "hidden":
        return "a folder above it may not be entered by this user"
    if file.noexec:
        return "its file system is mounted noexec: move it to another one, or mount that without noexec"
    if file.executable and file.interpreter and not file.interpreter_executable:
        return f"the interpreter {file.interpreter} that it needs may not be executed (chmod +x it)"
    return "it may not be executed (chmod +x it)"


def _why_no_program(file: ProgramFile, machine: str) -> str:
    match file.kind:
        case "elf" if MACHINES.get(file.machine) != machine:
            other = MACHINES.get(file.machine, f"another machine (number {file.machine})")
            return f"it is a program for {other}, this machine is {machine}"
        case "elf":
            return "it is a program for this machine, and damaged, or no executable one"
        case "empty":
            return "it is empty"
        case "text":
            return "it is no program for this machine (a script needs a first line #!...)"
        case _:
            return "it is no program for this machine"
