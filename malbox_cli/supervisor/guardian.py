"""Ends what a supervisor leaves when it is killed: its plugins, its folder and its shared memory.

A program of its own, with nothing but the standard library. On a socket it is told, a line each, ``supervisor PID``,
``mark NONCE`` (what the marks of the run's processes begin with), ``folder PATH`` and ``memory PREFIX`` (what the names
of the files in shared memory begin with), all before there is any of that; then ``locked``, with a descriptor that
holds the run's lock, ``spawned PID`` and ``reaped PID``, and at last ``done``. A socket that ends without ``done``
means that the supervisor was killed: the kernel kills the plugins with it, but for one that has changed its user, which
gets a moment to end by itself; then their groups and whatever else they started get SIGKILL; then the rest goes.
"""

import fcntl
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from malbox_cli.supervisor.strays import end_strays, has_variable, mark_of, nonce_in

GRACE_SECONDS = 1.2
"""Less than the two seconds after which nothing may be left, more than a plugin takes that ends by itself."""
KILL_SECONDS = 0.3
"""How long to wait for what was killed: until it is gone it may still make files."""
LOCK_SECONDS, LOCK_PAUSE_SECONDS = 0.3, 0.005
READ_BYTES = 65536
SHARED_MEMORY = Path("/dev/shm")
SWEEP_SECONDS = 0.5
"""How long strays are looked for, so that one that forks for ever does not keep us."""


def main() -> int:
    """Listen until the supervisor says that it is done, or does not say anything any more."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor, prefix, nonce, pids = "", "", 0, dict[int, int]()
    folder: Path | None = None
    is_locked = False
    for line in lines_of(socket.socket(fileno=int(sys.argv[1]))):
        word, _, rest = line.partition(" ")
        match word:
            case "done":
                return 0
            case "supervisor":
                supervisor = rest
            case "mark":
                nonce = int(rest)
            case "folder":
                folder = Path(rest)
            case "memory":
                prefix = rest
            case "locked":
                is_locked = True
            case "spawned":
                # The pidfd is taken while the process is known to be the one that is meant.
                with suppress(ProcessLookupError):
                    pids[int(rest)] = os.pidfd_open(int(rest))
            case "reaped":
                if (pidfd := pids.pop(int(rest), None)) is not None:
                    os.close(pidfd)
    if folder is not None and (is_locked or take_lock(folder)):
        end_processes(pids, nonce, f"MALBOX_SUPERVISOR_PID={supervisor}")
        if prefix:
            for file in SHARED_MEMORY.glob(f"{prefix}*"):
                file.unlink(missing_ok=True)
        remove(folder)
    return 0


def lines_of(channel: socket.socket) -> Iterator[str]:
    """Yield what is said until nobody is there to say anything; descriptors that come along stay open."""
    unread = b""
    with suppress(ConnectionResetError):
        while True:
            data, _, _, _ = socket.recv_fds(channel, READ_BYTES, 1)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            yield from map(os.fsdecode, lines)


def take_lock(folder: Path) -> bool:
    """Lock the folder of a supervisor that was killed before it handed over its lock; return whether we have it.

    Otherwise it had none yet, so that at most the empty folder is there; or the folder is another run's by now.
    """
    give_up_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            [path] = folder.glob("*.lock")
            fcntl.flock(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ValueError, FileNotFoundError):
            remove_empty(folder)
            return False
        except BlockingIOError:  # for a moment it may still be the supervisor's, which is just ending
            if time.monotonic() > give_up_at:
                return False
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return path.exists()  # whoever had it before may have removed it


def remove_empty(folder: Path) -> None:
    """Remove the run's folder where it is empty, and that of all runs where it is."""
    for path in (folder, folder.parent):
        with suppress(OSError):
            path.rmdir()


def remove(folder: Path) -> None:
    """Remove the run's folder; the lock, which this process holds too, goes last: whoever waits for it begins then."""
    with suppress(OSError):
        for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".lock"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    remove_empty(folder)


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
