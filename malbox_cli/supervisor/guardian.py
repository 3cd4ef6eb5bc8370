"""Ends what a supervisor leaves when it is killed: its plugins, its folder and its shared memory.

A program of its own, with nothing but the standard library. On standard input it is told, a line each,
``supervisor PID``, ``mark NONCE`` (what the marks of the run's processes begin with), ``folder PATH``,
``memory PREFIX`` (what the names of the files in shared memory begin with), ``spawned PID`` and ``reaped PID``, and at
last ``done``. Standard input that ends without ``done`` means that the supervisor was killed: the kernel kills the
plugins with it, but for one that has changed its user, which gets a moment to end by itself; then their groups and
whatever else they started get SIGKILL; then the rest goes.
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

from malbox_cli.supervisor.strays import end_strays, has_variable, mark_of, nonce_in

GRACE_SECONDS = 1.2
"""Less than the two seconds after which nothing may be left, more than a plugin takes that ends by itself."""
KILL_SECONDS = 0.3
"""How long to wait for what was killed: until it is gone it may still make files."""
SHARED_MEMORY = Path("/dev/shm")
SWEEP_SECONDS = 0.5
"""How long strays are looked for, so that one that forks for ever does not keep us."""


def main() -> int:
    """Listen until the supervisor says that it is done, or does not say anything any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor, folder, prefix, nonce, pids = "", "", "", 0, dict[int, int]()
    for line in sys.stdin.buffer:
        word, _, rest = os.fsdecode(line).rstrip("\n").partition(" ")
        match word:
            case "done":
                return 0
            case "supervisor":
                supervisor = rest
            case "mark":
                nonce = int(rest)
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
    end_processes(pids, nonce, f"MALBOX_SUPERVISOR_PID={supervisor}")
    if prefix:
        for file in SHARED_MEMORY.glob(f"{prefix}*"):
            file.unlink(missing_ok=True)
    if folder:
        remove(Path(folder))
    return 0


def remove(folder: Path) -> None:
    """Remove the run's folder; the lock, which this process holds too, goes last: whoever waits for it begins then."""
    with suppress(OSError):
        for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".lock"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        folder.rmdir()
        folder.parent.rmdir()  # it stays where another run has its folder in it


def end_processes(pids: dict[int, int], nonce: int, variable: str) -> None:
    """Wait a moment for the processes (pid: pidfd) to end, then kill the groups that they lead and all strays.

    Those are the processes whose mark has the nonce, and, where a mark could not be set, those with `variable`, a
    ``NAME=value``, in their environment.
    """
    wait_for(pids.values(), GRACE_SECONDS)
    kill_groups(pids)
    end_strays(lambda pid: nonce_in(mark_of(pid)) == nonce or has_variable(pid, variable), SWEEP_SECONDS)
    wait_for(pids.values(), KILL_SECONDS)


def wait_for(pidfds: Iterable[int], seconds: float) -> None:
    """Wait until all processes have ended, or so many seconds have passed."""
    give_up_at = time.monotonic() + seconds
    living = set(pidfds)
    while living and (left := give_up_at - time.monotonic()) > 0:
        ended, _, _ = select.select(living, [], [], left)
        living -= set(ended)


def kill_groups(pids: Iterable[int]) -> None:
    """Kill what is left of each group, whether or not its leader is still there."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
