"""The signals that stop a supervisor: the first in order, the second at once, the third this process alone."""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from malbox_cli.supervisor.poller import Poller

__all__ = ["StopSignals"]

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """Takes SIGINT, SIGTERM and SIGHUP until `close`; SIGHUP not where it is ignored.

    A byte in a socket wakes the wait: a signal that comes just before it would be seen only after it otherwise.

    Args:
        poller: What a signal wakes.
        stop: Called with the first one's name.
        kill: Called at the second.

    Attributes:
        first: The first signal that came, or None.
    """

    def __init__(self, poller: Poller, stop: Callable[[str], None], kill: Callable[[], None]) -> None:
        self.first: int | None = None
        self._count = 0
        self._poller = poller
        self._stop = stop
        self._kill = kill
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        poller.add(self._reader.fileno(), self._drain)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._take) for number in _wanted()}

    def close(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._poller.remove(self._reader.fileno())
        self._reader.close()
        self._writer.close()

    def _drain(self) -> None:
        self._reader.recv(256)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count += 1
        match self._count:
            case 1:
                self.first = number
                self._stop(signal.Signals(number).name)
            case 2:
                self._kill()
            case _:
                _show_cursor()
                os._exit(128 + number)


def _show_cursor() -> None:
    """Give a terminal its cursor back: a progress bar hides it, and nobody waits for the bar's end here."""
    for descriptor in (1, 2):
        with suppress(OSError):
            # One that was stopped with Ctrl-S takes nothing, and would keep this process for ever.
            if os.isatty(descriptor) and select.select([], [descriptor], [], 0)[1]:
                os.write(descriptor, SHOW_CURSOR)


def _wanted() -> tuple[signal.Signals, ...]:
    """Return the signals to take: `nohup` has SIGHUP ignored, so that the end of the terminal ends nothing."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return tuple(number for number in NUMBERS if number is not signal.SIGHUP)
    return NUMBERS
