"""Terminals, with a command in the foreground of each or with a shell."""

import codecs
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Mapping
from fcntl import ioctl
from types import TracebackType
from typing import Self

from e2e_harness import PATIENCE, Place


class Terminal:
    """A pseudo terminal with a command in its foreground, of which it is the controlling terminal."""

    def __init__(self, place: Place, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
        self.settings = termios.tcgetattr(slave)
        self.shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.running = place.start(
            *arguments,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            argv=[sys.executable, "-c", BECOME_FOREGROUND, *place.argv],
        )
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Take the terminal away, as one does that closes its window."""
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until a text was shown, so many times."""
        give_up_at = time.monotonic() + PATIENCE
        while self.shown.count(text) < times:
            assert time.monotonic() < give_up_at, f"no {text!r} in {self.shown!r}"
            self._read(0.05)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Return the exit code once the command has ended; it has to leave the terminal as it was."""
        give_up_at = time.monotonic() + PATIENCE
        while self.running.popen.poll() is None:
            assert time.monotonic() < give_up_at, f"still runs: {self.shown!r}"
            self._read(0.05)
        while self._read(0.05):
            pass
        assert termios.tcgetattr(self._slave) == self.settings
        return self.running.popen.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self.shown += self._decoder.decode(os.read(self._master, 1 << 16))
        return True


BECOME_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
