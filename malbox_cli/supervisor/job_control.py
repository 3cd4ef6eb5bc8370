"""Ctrl-Z and `fg`: the plugins stop and go on with the supervisor, and the time between does not count."""

import signal
from types import FrameType

from malbox_cli.supervisor.children import Children
from malbox_cli.supervisor.clock import Clock
from malbox_cli.supervisor.processes import stop_ourselves
from malbox_cli.supervisor.signals import show_cursor

__all__ = ["JobControl"]


class JobControl:
    """Takes SIGTSTP and SIGCONT until `close`; SIGTSTP not where it is ignored.

    A shell sees only this process stop; the plugins are in sessions of their own, where a terminal's signals do not
    come, and where SIGTSTP does nothing. So they get SIGSTOP.

    Args:
        children: The plugins' processes.
        clock: What stands still.
    """

    def __init__(self, children: Children, clock: Clock) -> None:
        self._children = children
        self._clock = clock
        self._stop_asked = False
        self._continued = False
        self._previous = {signal.SIGCONT: signal.signal(signal.SIGCONT, self._go_on)}
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            self._previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._ask)

    def look(self) -> None:
        """Do what the signals that came ask for: stop, and return when we go on. Not to be called in a handler."""
        if self._stop_asked:
            self._stop_asked = False
            self._clock.now()
            self._children.signal_all(signal.SIGSTOP)
            show_cursor()
            stop_ourselves()
            self._clock.skip()
            self._continued = True  # also where nobody stopped us, and so nobody sends SIGCONT
        if self._continued:
            self._continued = False
            self._children.signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop_asked = True

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        # Here, and not when the reactor looks: by then it may have found that somebody's time is over. One that was
        # stopped with SIGSTOP hears of it only now.
        self._clock.skip()
        self._continued = True
