"""Has systemd know how the plugins are, turn by turn."""

import time

from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.service_status import describe, is_up
from malbox_cli.supervisor.systemd import Systemd

__all__ = ["ServiceReport"]

PATIENCE_SECONDS = 30.0
"""For how long systemd is asked for patience at a time: a supervisor that is stuck does not ask again."""
ASK_EVERY_SECONDS = 5.0


class ServiceReport:
    """Tells systemd what changed since the last turn.

    Args:
        systemd: Who is told.
        machine: Who knows.
    """

    def __init__(self, systemd: Systemd, machine: Machine) -> None:
        self._systemd = systemd
        self._machine = machine
        self._was_ready = False
        self._was_stopping = False
        self._shown: tuple[object, ...] = ()
        self._text = ""
        self._ask_at = 0.0

    def turn(self) -> float:
        """Say what there is to say, and that the supervisor is alive; return in how many seconds there is more.

        Does not block. This is for `Reactor.beat`.
        """
        now = time.monotonic()
        plugins = self._machine.plugins
        stopping = self._machine.is_stopping
        shown = (stopping, *((plugin.state, plugin.reason) for plugin in plugins))
        if stopping and not self._was_stopping:
            self._was_stopping = True
            self._ask_at = now
            self._systemd.stopping()
        if shown != self._shown:
            self._shown = shown
            self._show(f"stopping; {describe(plugins)}" if stopping else describe(plugins))
            if not self._was_ready and not stopping and is_up(plugins):
                self._was_ready = True
                self._systemd.ready()
        # How long starts and stops take is for the manifest to say; systemd only has to see that they go on.
        busy = stopping or not self._was_ready
        if busy and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_SECONDS
            self._systemd.extend(PATIENCE_SECONDS)
        self._systemd.beat(now)
        return max(0.0, min(self._systemd.next_beat, self._ask_at if busy else self._systemd.next_beat) - now)

    def reloading(self) -> None:
        """Say that the manifest is being read again; what `turn` finds ready says that it was."""
        if self._was_ready:
            self._was_ready = False
            self._shown = ()
            self._systemd.reloading()

    def _show(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self._systemd.status(text)
