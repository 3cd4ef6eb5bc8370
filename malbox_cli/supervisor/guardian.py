"""Ends what a supervisor leaves when it is killed: its plugins, its folder and its shared memory.

Run as a program of its own, with nothing but the standard library: ``python -I -S guardian.py``. On
standard input it is told, a line each, ``supervisor PID``, ``folder PATH``, ``memory PREFIX`` (what the names of the
files in shared memory begin with), ``spawned PID`` and ``reaped PID``, and at last ``done``. Standard input that ends
without ``done`` means that the supervisor was killed: the plugins get a moment to end by themselves, then their groups
and whatever else they started get SIGKILL; then the rest goes.
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
KILL_SECONDS = 0.3
"""How long to wait for what was killed: until it is gone it may still make files."""
SHARED_MEMORY = Path("/dev/shm")
MAX_SWEEPS = 20
"""How often strays are looked for, so that one that forks for ever does not keep us."""


def main() -> int:
    """Listen until the supervisor says that it is done, or does not say anything any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor, folder, prefix, pids = "", "", "", dict[int, int]()
    for line in sys.stdin.buffer:
        word, _, rest = os.fsdecode(line).rstrip("\n").partition(" ")
        match word:
            case "done":
                return 0
            case "supervisor":
                supervisor = rest
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
    end_processes(pids, f"MALBOX_SUPERVISOR_PID={supervisor}")
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


def end_processes(pids: dict[int, int], mark: str) -> None:
    """Wait a moment for the processes (pid: pidfd) to end, then kill the groups that they lead and all with `mark`."""
    wait_for(pids.values(), GRACE_SECONDS)
    kill_groups(pids)
    kill_marked(mark)
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


def kill_marked(mark: str) -> None:
    """Kill every process that has `mark`, a ``NAME=value``, in its environment, and so descends from who was given it.

    A descendant that made a session of its own is in nobody's group any more; its environment still says whose it is.
    """
    wanted = b"\0" + mark.encode() + b"\0"
    for _ in range(MAX_SWEEPS):
        if not sum(kill_if_marked(int(name), wanted) for name in os.listdir("/proc") if name.isdigit()):
            return


def kill_if_marked(pid: int, wanted: bytes) -> bool:
    """Kill a process if its environment has `wanted`; return whether it had."""
    try:
        # The descriptor stays with this process, should it end and its number go to another one meanwhile.
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        is_marked = wanted in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
        if is_marked:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False  # it has ended, or is another user's
    else:
        return is_marked
    finally:
        os.close(pidfd)


if __name__ == "__main__":
    sys.exit(main())
