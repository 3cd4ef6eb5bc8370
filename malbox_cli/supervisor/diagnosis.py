"""Why a plugin's process ended as it did, in a sentence, and what to do."""

import signal
from collections.abc import Sequence

from malbox_cli.manifest.specs import Limits
from malbox_cli.manifest.units import format_duration, format_size
from malbox_cli.supervisor.exit_status import ExitStatus

__all__ = ["SOON_SECONDS", "explain"]

SOON_SECONDS = 1.0
"""What ends in less time after its start than that never really began."""

WORDS_OF_WANT = ("MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory", "Out of memory")
"""What a program prints last that did not get the memory that it asked for."""

WORDS_OF_MISMATCH = ("ServiceInCorruptedState", "SystemInFlux")
"""What iceoryx2 calls services that another release made; a program that knows no better prints just that."""
MISMATCH = (
    "services of another release of iceoryx2 look like that, so it was most likely built on another one than malbox's "
    "(`malbox doctor` names that): build it on the same"
)

OF_CODE = {
    126: "a shell or `env` found the program that it should run, and may not execute it: chmod +x it",
    127: "a shell or `env` did not find the program that it should run: install it, or correct its PATH",
}
OF_SIGNAL = {
    signal.SIGILL: "it has an instruction that this processor does not know: use a build for this processor",
    signal.SIGSEGV: "a fault in native code, its own or a library's; what runs on plugin_runtime has logged where",
    signal.SIGBUS: "shared memory is full, most likely (see `df /dev/shm`), or a file that it had mapped was cut",
    signal.SIGSYS: "a sandbox (seccomp) forbids a system call that it made: allow it, or run it without",
    signal.SIGABRT: "it gave up on itself, as failed assertions and misused libraries do; its last lines say why",
    signal.SIGFPE: "it divided an integer by zero in native code",
    signal.SIGTRAP: "a trap in native code, such as a failed check of a sandbox, that no debugger took",
    signal.SIGXFSZ: "a file that it wrote became larger than this user may write: see `ulimit -f`",
    signal.SIGPIPE: "what it wrote to had no reader any more",
}


def explain(
    status: ExitStatus,
    *,
    seconds: float,
    was_ready: bool,
    program: str,
    limits: Limits,
    memory_note: str,
    last_lines: Sequence[str],
) -> str:
    """Return how a process ended that nobody had asked to, to follow the plugin's name: what, why, and what to do.

    Args:
        status: How it ended.
        seconds: How long after its start.
        was_ready: Whether the plugin had been READY.
        program: What was run, as it may be shown.
        limits: What it was allowed.
        memory_note: What the kernel says of why it was killed; empty: nothing.
        last_lines: What it printed last.
    """
    text = f"{status}" if was_ready else f"{status} before it was ready"
    why = memory_note or _limit_that_was_reached(status, limits, last_lines)
    if not why and status.signal == signal.SIGKILL:
        why = "somebody else killed it, or the kernel for want of memory (see `dmesg`)"
    if not why and status.signal is not None:
        why = OF_SIGNAL.get(signal.Signals(status.signal), "") if status.signal in set(signal.Signals) else ""
    if not why and not was_ready and any(word in line for line in last_lines for word in WORDS_OF_MISMATCH):
        why = MISMATCH
    if not why and status.code is not None:
        why = OF_CODE.get(status.code, "")
    if was_ready or seconds >= SOON_SECONDS:
        return f"{text}: {why}" if why else text
    text += ", within a second of its start"
    if not why and not any(line.strip() for line in last_lines):
        why = f"it printed nothing; run {program} by hand to see what is wrong with it"
    return f"{text}: {why}" if why else text


def _limit_that_was_reached(status: ExitStatus, limits: Limits, last_lines: Sequence[str]) -> str:
    if status.signal == signal.SIGXCPU:
        of_its_own = "" if limits.cpu_time is None else f" of {format_duration(float(limits.cpu_time))}"
        return f"it used up its cpu_time{of_its_own}; raise limits.cpu_time"
    if limits.memory is not None and not status.is_success and _wants_memory(last_lines):
        return f"it reached its memory limit of {format_size(limits.memory)}; raise limits.memory"
    return ""


def _wants_memory(lines: Sequence[str]) -> bool:
    return any(word in line for line in lines for word in WORDS_OF_WANT)
