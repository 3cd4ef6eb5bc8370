"""The signals that stop a supervisor: the first in order, the second at once, the third this process alone."""

import errno
import os
import select
import signal
import socket
import termios
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from malbox_cli.supervisor.poller import Poller

__all__ = ["StopSignals"]

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """Takes SIGINT, SIGTERM and SIGHUP until `close`; SIGHUP not where it is ignored.

    A byte in a socket wakes the wait: a signal that comes just before it would be seen only after it otherwise. Other
    signals that have a handler wake it too.

    Args:
        poller: What a signal wakes.

    Attributes:
        first: The first signal that came, or None.
    """

    def __init__(self, poller: Poller) -> None:
        self.first: int | None = None
        self._count = 0
        self._stop: Callable[[str], None] = _ignore
        self._kill: Callable[[], None] = _nothing
        self._woken: Callable[[], None] = _nothing
        self._poller = poller
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        poller.add(self._reader.fileno(), self._drain)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._take) for number in _wanted()}

    def check(self) -> None:
        """End the program if a signal has come, for whoever puts something together that does not listen yet.

        Raises:
            SystemExit: One has; its code is 128 + n.
        """
        if self.first is not None:
            raise SystemExit(128 + self.first)

    def listen(self, stop: Callable[[str], None], kill: Callable[[], None], woken: Callable[[], None]) -> None:
        """Call back from now on.

        Args:
            stop: Called with the first one's name, in the signal's handler.
            kill: Called at the second, in the signal's handler.
            woken: Called when the wait was woken by any signal.

        Raises:
            SystemExit: One has come before.
        """
        self._stop, self._kill, self._woken = stop, kill, woken
        self.check()

    def deafen(self) -> None:
        """Call nobody back any more, and keep nobody from tidying up; but the third signal still ends this process."""
        self._stop, self._kill, self._woken = _ignore, _nothing, _nothing

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
        self._woken()

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            _leave_closed_terminal()
        self._count += 1
        match self._count:
            case 1:
                self.first = number
                self._stop(signal.Signals(number).name)
            case 2:
                self._kill()
            case _:
                show_cursor()
                os._exit(128 + number)


def show_cursor() -> None:
    """Give a terminal its cursor back: a progress bar hides it, and nobody waits for the bar's end here."""
    for descriptor in (1, 2):
        with suppress(OSError):
            # One that was stopped with Ctrl-S takes nothing, and would keep this process for ever.
            if os.isatty(descriptor) and select.select([], [descriptor], [], 0)[1]:
                os.write(descriptor, SHOW_CURSOR)


def _leave_closed_terminal() -> None:
    """Write no more to a terminal that was closed: each line would be an error, in the middle of something."""
    for descriptor in (0, 1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                with suppress(OSError):  # no descriptor is left: a line that is not written is no reason to end
                    nowhere = os.open(os.devnull, os.O_RDWR)
                    os.dup2(nowhere, descriptor)
                    os.close(nowhere)


def _ignore(name: str) -> None:
    del name


def _nothing() -> None:
    pass


def _wanted() -> tuple[signal.Signals, ...]:
    """Return the signals to take: `nohup` has SIGHUP ignored, so that the end of the terminal ends nothing."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return tuple(number for number in NUMBERS if number is not signal.SIGHUP)
    return NUMBERS
