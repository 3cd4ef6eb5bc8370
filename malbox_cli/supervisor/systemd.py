"""Tells systemd how the service is, where it was systemd that started it (``Type=notify``)."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from systemd_watchdog.systemd_watchdog import WatchDog

__all__ = ["Systemd", "forget_systemd"]

SOCKET = "NOTIFY_SOCKET"
VARIABLES = (
    *(SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
    *("FDSTORE", "MAINPID", "MANAGERPID"),
)
"""What is for the process that systemd started and for none that it starts."""

NEVER = float("inf")
RETRY_SECONDS = 0.05
MAX_WAITING = 64


class Systemd:
    """The way to systemd. Nothing here blocks, or raises: that systemd does not listen is no reason to fail.

    Where this process was not started by systemd, or not as one that says how it is, everything does nothing.

    Args:
        watchdog: What knows the protocol; None: there is nobody to tell.
        sender: The socket that it sends on, not blocking.
        address: Where it sends to.

    Attributes:
        next_beat: When, on the monotonic clock, `beat` has something to do at the latest; infinity: never.
    """

    def __init__(
        self, watchdog: "WatchDog | None" = None, sender: socket.socket | None = None, address: str = ""
    ) -> None:
        self.next_beat = NEVER
        self._watchdog = watchdog
        self._sender = sender
        self._address = address
        self._period = NEVER
        self._next_sign = NEVER
        self._waiting: deque[Callable[[], object]] = deque(maxlen=MAX_WAITING)
        if watchdog is not None and "WATCHDOG_USEC" in os.environ:
            self._period = watchdog.timeout_td.total_seconds() / 2
            self.next_beat = self._next_sign = 0.0

    @classmethod
    def of_environment(cls, say: Callable[[Literal["warning"], str], None]) -> "Systemd":
        """Return the way to the systemd that started this process.

        Args:
            say: Takes the one warning that there may be: a level and a text.
        """
        named = os.environ.get(SOCKET)
        if not named:
            return cls()
        try:
            from systemd_watchdog.systemd_watchdog import WatchDog
        except ImportError:
            say(
                "warning",
                f"systemd wants to know how this service is ({SOCKET} is set), and nobody tells it: "
                "install the extra with `pip install 'malbox[systemd]'`, or use Type=exec",
            )
            return cls()
        if named[0] not in "@/":
            say("warning", f"{SOCKET}={named} is no address of a socket that malbox can reach: systemd is told nothing")
            return cls()
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        address = f"\0{named[1:]}" if named[0] == "@" else named
        return cls(WatchDog(sender, address), sender, address)

    @property
    def is_there(self) -> bool:
        """Whether there is anybody to tell."""
        return self._watchdog is not None

    def ready(self) -> None:
        """Say that the service is up, or that it is again after `reloading`."""
        if self._watchdog is not None:
            self._send(self._watchdog.ready)

    def status(self, text: str) -> None:
        """Say in a line how it is; `systemctl status` shows it."""
        watchdog = self._watchdog
        if watchdog is not None:
            self._send(lambda: watchdog.status(text))

    def stopping(self) -> None:
        """Say that the service has begun to end."""
        self._say("STOPPING=1\n")

    def reloading(self) -> None:
        """Say that the manifest is being read again; `ready` says that it was."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\n")

    def extend(self, seconds: float) -> None:
        """Ask for patience with a start, a reload or a stop: for so many seconds, unless this is said again."""
        self._say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}\n")

    def beat(self, now: float) -> None:
        """Say that the supervisor is alive, if it is time to, and send what could not be sent before.

        Args:
            now: The monotonic time: systemd does not know of a clock of ours.
        """
        if now >= self._next_sign and self._watchdog is not None:
            self._next_sign = now + self._period
            self._send(self._watchdog.notify)
        else:
            self._flush()
        self.next_beat = now + RETRY_SECONDS if self._waiting else self._next_sign

    def close(self) -> None:
        """Try once more to send what waits, and let go."""
        self._flush()
        if self._sender is not None:
            self._sender.close()
        self._watchdog = self._sender = None

    def _say(self, text: str) -> None:
        sender = self._sender
        if sender is not None:
            self._send(lambda: sender.sendto(text.encode(), self._address))

    def _send(self, message: Callable[[], object]) -> None:
        self._waiting.append(message)
        self._flush()

    def _flush(self) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except (
                BlockingIOError
            ):  # systemd has not read what came before; a READY=1 that is lost is never made up for
                self.next_beat = 0.0
                return
            except OSError:  # it listens no more
                pass
            self._waiting.popleft()


def forget_systemd(environment: MutableMapping[str, str]) -> None:
    """Take out of an environment what the plugins must not have: they could speak to systemd in our name."""
    for name in VARIABLES:
        with suppress(KeyError):
            del environment[name]
