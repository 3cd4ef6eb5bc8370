"""What the kernel tells of the processes that it killed itself."""

import signal
from pathlib import Path

from malbox_cli.manifest.specs import Limits
from malbox_cli.manifest.units import format_duration, format_size
from malbox_cli.supervisor.cgroups import memory_kills
from malbox_cli.supervisor.exit_status import ExitStatus

__all__ = ["kills_for_memory", "why_killed"]

VMSTAT = Path("/proc/vmstat")
LABEL = b"\noom_kill "


def kills_for_memory() -> int:
    """Return how many processes of this machine the kernel has killed for want of memory; 0 where it does not say."""
    try:
        _, label, rest = VMSTAT.read_bytes().partition(LABEL)
    except OSError:
        return 0
    return int(rest.split(maxsplit=1)[0]) if label else 0


def why_killed(status: ExitStatus, limits: Limits, cpu_seconds: float, kills_before: int, group: Path | None) -> str:
    """Return why the kernel killed a process that nobody else killed, as far as it can be known; empty: it cannot.

    Args:
        status: How it ended.
        limits: What it was allowed.
        cpu_seconds: What it had of the processors.
        kills_before: What `kills_for_memory` was when it started.
        group: Its control group, if it has one of its own.
    """
    if status.signal != signal.SIGKILL:
        return ""
    if limits.cpu_time is not None and cpu_seconds >= limits.cpu_time:
        return f"it used up its cpu_time of {format_duration(float(limits.cpu_time))}; raise limits.cpu_time"
    if group is not None and limits.memory is not None and memory_kills(group):
        return f"it reached its memory limit of {format_size(limits.memory)}; raise limits.memory"
    if kills_for_memory() > kills_before:
        return (
            "the kernel did it for want of memory, probably: see `dmesg`, and give it less at once or the machine more"
        )
    return ""
