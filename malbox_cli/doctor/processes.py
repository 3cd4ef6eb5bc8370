"""Finds the processes of runs whose supervisor is gone, and ends them."""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.supervisor.run_folder import goes_on
from malbox_cli.supervisor.strays import end_strays, mark_of, nonce_in, stat_of

__all__ = ["Orphan", "end_orphans", "find_orphans"]

PROC = Path("/proc")
END_SECONDS = 2.0
SUPERVISOR, PLUGIN, ROOT = "MALBOX_SUPERVISOR_PID", "MALBOX_PLUGIN_ID", "MALBOX_DOMAIN_ROOT"
START_TIME = 19
"""Which of the words after a program's name in ``/proc/PID/stat`` says when the process was started."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process that a dead run left.

    Attributes:
        pid: The process.
        plugin: The id of the plugin that it was, or that started it; empty where it is not known.
    """

    pid: int
    plugin: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.plugin})" if self.plugin else str(self.pid)


def find_orphans(dead_nonces: Collection[int]) -> list[Orphan]:
    """Return the processes of this user whose supervisor is gone.

    A process is known by its environment, which names the supervisor, or by the mark of a run.

    Args:
        dead_nonces: What the marks of runs begin with that are over.
    """
    pids = sorted(int(name) for name in os.listdir(PROC) if name.isdigit())
    return [Orphan(pid, _environment(pid).get(PLUGIN, "")) for pid in pids if _is_orphan(pid, dead_nonces)]


def end_orphans(dead_nonces: Collection[int]) -> int:
    """Kill those processes; return how many there were. Blocks for a moment, until they have ended."""
    return end_strays(lambda pid: _is_orphan(pid, dead_nonces), END_SECONDS)


def _is_orphan(pid: int, dead_nonces: Collection[int]) -> bool:
    stat = stat_of(pid)
    if pid == os.getpid() or stat is None or stat[0] in "ZX" or not _is_ours(pid):
        return False
    if nonce_in(mark_of(pid)) in dead_nonces:
        return True
    environment = _environment(pid)
    supervisor = environment.get(SUPERVISOR, "")
    if not (supervisor.isascii() and supervisor.isdigit() and _is_gone(int(supervisor), pid)):
        return False
    root = environment.get(ROOT)
    with suppress(OSError):  # the run's folder is not there any more
        return not (root and goes_on(Path(root).parent))  # otherwise its guardian sees to it, in a moment
    return True


def _is_ours(pid: int) -> bool:
    """Return whether a process is this user's, and counts processes as we do: a container has numbers of its own."""
    with suppress(OSError):
        place = "ns/pid"
        same = os.readlink(PROC / str(pid) / place) == os.readlink(PROC / "self" / place)
        return same and os.stat(PROC / str(pid)).st_uid == os.getuid()
    return False


def _is_gone(supervisor: int, pid: int) -> bool:
    """Return whether a process's supervisor has ended; its number may be that of a younger process since."""
    stat = stat_of(supervisor)
    if stat is None or stat[0] in "ZX":
        return True
    return _started_at(supervisor) > _started_at(pid)


def _started_at(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int((PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[START_TIME])
    return 0


def _environment(pid: int) -> dict[str, str]:
    with suppress(OSError):
        text = (PROC / str(pid) / "environ").read_bytes().decode("utf-8", "backslashreplace")
        return dict(_pair(word) for word in text.split("\0") if "=" in word)
    return {}


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
