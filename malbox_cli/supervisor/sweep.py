"""Ends what the plugins' processes leave: descendants that outlived them, which come to us because we are a subreaper.

Whose a child is says its mark (`strays`); where that could not be set, its session or its environment does.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from malbox_cli.supervisor.log_hub import Say
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import kill_child, reap_ended, wait_for_end
from malbox_cli.supervisor.strays import has_variable, mark_of, nonce_in, own_children, stat_of
from plugin_runtime.environment import INSTANCE, SUPERVISOR_PID

__all__ = ["Family", "Sweeper"]

AT_ONCE_SECONDS = 0.05
"""How long to wait for the end of what was killed; a process with much memory takes longer, and is waited for later."""
LATER_SECONDS = 0.005
AT_THE_END_SECONDS = 2.0


@dataclass(slots=True, eq=False)
class Family:
    """A plugin's process that has ended, and what descends from it.

    Attributes:
        plugin_id: The plugin.
        mark: What its descendants are marked with.
        session: The session that it led.
        instance: What they have in their environment.
        killed: How many of them were killed so far.
        awaited: The pidfds of those that were killed and still live.
    """

    plugin_id: str
    mark: int
    session: int
    instance: str
    killed: int = 0
    awaited: list[int] = field(default_factory=list)

    def has(self, pid: int) -> bool:
        """Return whether a child of ours, which was not reaped, descends from it."""
        mark = mark_of(pid)
        if nonce_in(mark) == nonce_in(self.mark):
            return mark == self.mark
        stat = stat_of(pid)
        return (stat is not None and stat[2] == self.session) or has_variable(pid, f"{INSTANCE}={self.instance}")


class Sweeper:
    """Looks for what was left among our children, and ends it.

    Args:
        nonce: The run's.
        poller: Where those that take their time to end are watched.
        kept: Returns the children that are not for it: the plugins' processes and the launcher.
        say: Takes what an operator should know: a level and a text.
    """

    def __init__(self, nonce: int, poller: Poller, kept: Callable[[], set[int]], say: Say) -> None:
        self._nonce = nonce
        self._poller = poller
        self._kept = kept
        self._say = say
        self._open: list[Family] = []

    def reap_ended(self, family: Family) -> None:
        """Reap those descendants that have ended by themselves. Does not block."""
        for pid in self._adopted():
            if family.has(pid):
                reap_ended(pid)

    def sweep(self, family: Family) -> None:
        """Kill and reap what descends from a process that has ended; what takes its time is finished later."""
        self._go_on(family, AT_ONCE_SECONDS)

    def look_after(self, living: Iterable[int]) -> None:
        """Reap adopted children that have ended, and end those that were overlooked. Does not block.

        Args:
            living: The marks of the plugins' processes that live.
        """
        for family in list(self._open):
            self._go_on(family, LATER_SECONDS)
        known = {*living, *(family.mark for family in self._open)}
        for pid in self._adopted():
            mark = mark_of(pid)
            if nonce_in(mark) != self._nonce:
                continue
            if mark not in known:
                kill_child(pid)
            reap_ended(pid)

    def end(self) -> None:
        """End all that is left of the run; to be called when no plugin's process is. Blocks for two seconds at most."""
        for family in self._open:
            self._watch(family, [])
        self._open.clear()
        give_up_at = time.monotonic() + AT_THE_END_SECONDS
        while found := [pid for pid in self._adopted() if self._is_of_the_run(pid)]:
            if time.monotonic() > give_up_at:
                pids = ", ".join(map(str, found))
                self._say("error", f"what plugins had left does not die, the kernel holds it: process {pids}")
                return
            for pid in found:
                kill_child(pid)
            wait_for_end(found, AT_ONCE_SECONDS)
            for pid in found:
                reap_ended(pid)

    def _adopted(self) -> list[int]:
        kept = self._kept()
        return [pid for pid in own_children() if pid not in kept]

    def _is_of_the_run(self, pid: int) -> bool:
        mark = mark_of(pid)
        return nonce_in(mark) == self._nonce or has_variable(pid, f"{SUPERVISOR_PID}={os.getpid()}")

    def _go_on(self, family: Family, seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while left := [pid for pid in self._adopted() if family.has(pid)]:
            for pid in left:
                kill_child(pid)
            if (patience := give_up_at - time.monotonic()) <= 0:
                self._watch(family, left)
                return
            wait_for_end(left, patience)
            ends = [status for pid in left if (status := reap_ended(pid)) is not None]
            family.killed += sum(status.signal == signal.SIGKILL for status in ends)
        self._watch(family, [])
        if family in self._open:
            self._open.remove(family)
        if family.killed:
            many = f"{family.killed} processes" if family.killed > 1 else "a process"
            self._say("warning", f"{family.plugin_id}: killed {many} that it had left", family.plugin_id)

    def _watch(self, family: Family, pids: list[int]) -> None:
        """Go on with a family when any of these ends; those that were watched for it before are not any more."""
        for pidfd in family.awaited:
            self._poller.remove(pidfd)
            os.close(pidfd)
        family.awaited.clear()
        for pid in pids:
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                continue  # no descriptor is left; every look after the children goes on with it
            family.awaited.append(pidfd)
            self._poller.add(pidfd, lambda: self._go_on(family, LATER_SECONDS))
        if pids and family not in self._open:
            self._open.append(family)
