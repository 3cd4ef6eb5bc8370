"""Ends what a supervisor leaves when it is killed: its plugins, its folder and its shared memory.

Run as a program of its own, with nothing but the standard library: ``python -I -S guardian.py``. On
standard input it is told, a line each, ``folder PATH``, ``memory PREFIX`` (what the names of the files in shared
memory begin with), ``spawned PID`` and ``reaped PID``, and at last ``done``. Standard input that ends without ``done``
means that the supervisor was killed: the plugins get a moment to end by themselves, then their groups get SIGKILL;
then the rest goes.
"""

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 1.2
"""Less than the two seconds after which nothing may be left, more than a plugin takes that ends by itself."""
SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Listen until the supervisor says that it is done, or does not say anything any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder, prefix, pids = "", "", dict[int, int]()
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        match word:
            case "done":
                return 0
            case "folder":
                folder = rest
            case "memory":
                prefix = rest
            case "spawned":
                # The pidfd is taken while the process is known to be the one that is meant.
                with suppress(ProcessLookupError):
                    pids[int(rest)] = os.pidfd_open(int(rest))
            case "reaped":
                if (pidfd := pids.pop(int(rest), None)) is not None:
                    os.close(pidfd)
    end_processes(pids)
    if prefix:
        for file in SHARED_MEMORY.glob(f"{prefix}*"):
            file.unlink(missing_ok=True)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def end_processes(pids: dict[int, int]) -> None:
    """Wait a moment for the processes (pid: pidfd) to end, then kill the groups that they lead."""
    give_up_at = time.monotonic() + GRACE_SECONDS
    living = set(pids.values())
    while living and (left := give_up_at - time.monotonic()) > 0:
        ended, _, _ = select.select(living, [], [], left)
        living -= set(ended)
    kill_groups(pids)


def kill_groups(pids: Iterable[int]) -> None:
    """Kill what is left of each group, whether or not its leader is still there."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
