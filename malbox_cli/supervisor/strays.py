"""The mark that everything carries that a run's plugins start, and the end of whatever carries it.

The mark is the soft limit on file locks, RLIMIT_LOCKS, which Linux has not enforced since 2.4: every process shows it
in ``/proc/PID/limits`` and hands it on by fork and exec, whatever becomes of its session, parent and environment.
It is a number: the run's nonce, and after it which of the run's spawns the process descends from.

Needs nothing but the standard library: the guardian, which runs without anything else, uses it too.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = [
    "RLIMIT_LOCKS",
    "end_strays",
    "has_variable",
    "mark_of",
    "nonce_in",
    "own_children",
    "stat_of",
    "to_mark",
]

RLIMIT_LOCKS = 10
"""The number of the limit; Python's `resource` has no name for it."""
NUMBER_BITS = 24
NONCE_BITS = 32
PAUSE_SECONDS = 0.001
"""How long to let what was killed get on with its end before it is looked for again."""
READ_BYTES = 4096
LABEL = b"Max file locks"


def to_mark(nonce: int, number: int) -> int:
    """Return the mark of what descends from a run's spawn of that number; a run that spawns for ever begins again."""
    return nonce << NUMBER_BITS | number % (1 << NUMBER_BITS)


def nonce_in(mark: int | None) -> int | None:
    """Return the nonce of the run that a mark is of; None where it is none."""
    if mark is None or mark >> (NUMBER_BITS + NONCE_BITS):
        return None
    return mark >> NUMBER_BITS or None


def mark_of(pid: int) -> int | None:
    """Return the soft limit on file locks of a process, a zombie's too; None: it has none, or is gone."""
    _, label, rest = _read(f"/proc/{pid}/limits").partition(LABEL)
    words = rest.split(maxsplit=1)
    return int(words[0]) if label and words and words[0].isdigit() else None


def has_variable(pid: int, variable: str) -> bool:
    """Return whether a process was started with ``NAME=value`` in its environment; no process that is not ours was."""
    return b"\0" + os.fsencode(variable) + b"\0" in b"\0" + _read(f"/proc/{pid}/environ")


def stat_of(pid: int) -> tuple[str, int, int] | None:
    """Return a process's state (``Z`` of a zombie), its parent and its session; None: it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[1]), int(fields[3])) if len(fields) > 3 else None


def own_children() -> list[int]:
    """Return the children of this process that were not reaped, adopted ones too.

    One may be overlooked while another ends, and all are where no descriptor is left: whoever has to be sure looks
    again.
    """
    with suppress(OSError):
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # a kernel that was built without these files
            return [pid for pid in _processes() if (stat := stat_of(pid)) is not None and stat[1] == os.getpid()]
        tasks = os.listdir("/proc/self/task")
        return [int(pid) for task in tasks for pid in _read(f"/proc/self/task/{task}/children").split()]
    return []


def end_strays(is_stray: Callable[[int], bool], seconds: float) -> int:
    """Kill all processes, of whatever parent, for which `is_stray` says so, and again until none is left.

    Blocks until they are zombies at least, for so many seconds at most; returns how many were killed.
    """
    give_up_at = time.monotonic() + seconds
    killed: set[int] = set()
    while found := [pid for pid in _processes() if _kill(pid, is_stray)]:
        killed.update(found)
        if time.monotonic() > give_up_at:
            break
        time.sleep(PAUSE_SECONDS)
    return len(killed)


def _kill(pid: int, is_stray: Callable[[int], bool]) -> bool:
    """Kill a process if it is a stray; return whether it is one that can be killed and still lives."""
    if pid == os.getpid():
        return False
    try:
        # The descriptor stays with this process, should it end and its number go to another one meanwhile.
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_stray(pid) or (stat := stat_of(pid)) is None or stat[0] in "ZX":
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False  # it has ended, or is another user's
    else:
        return True
    finally:
        os.close(pidfd)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(path: str) -> bytes:
    """Return the content of a file of a process; nothing where the process is gone or another user's."""
    with suppress(OSError):
        return _read_all(path)
    return b""


def _read_all(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
