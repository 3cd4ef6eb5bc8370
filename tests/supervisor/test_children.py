"""What the plugins' processes print, and their end."""

import fcntl
import os
import resource
import select
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.children import Children
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.output_pump import READ_BYTES, OutputPump
from malbox_cli.supervisor.poller import Poller

LINES = 200_000
"""Empty ones, more than a pipe holds by itself."""


class NoGuard:
    """A guardian that is told and does nothing."""

    def spawned(self, pid: int) -> None:
        """Take note."""

    def reaped(self, pid: int) -> None:
        """Take note."""


class Family:
    """Children, and what they printed."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.printed = b""
        self.children = Children(
            self.poller,
            cast(Guard, NoGuard()),
            lambda *_: {},
            OutputPump(self.poller, self.take),
            resource.getrlimit(resource.RLIMIT_NOFILE),
        )

    def take(self, plugin_id: str, lines: bytes) -> None:
        """Keep what was printed."""
        assert plugin_id == "p"
        self.printed += lines

    def start(self, code: str) -> int:
        """Start a process that runs some Python; return the descriptor of what it prints."""
        spec = PluginSpec(id="p", name="p", argv=(sys.executable, "-c", code), cwd=Path("/"))
        return self.children.spawn(spec)[0].output


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    family.children.kill_all()
    family.poller.close()


def waiting_in(pipe: int) -> int:
    """Return how many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_flood_of_lines_has_its_share_of_a_turn_and_none_is_lost(family: Family) -> None:
    output = family.start(f"import os, signal; os.write(1, b'\\n' * {LINES}); signal.pause()")
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 1 << 20)
    while waiting_in(output) < LINES:
        assert select.select([output], [], [], 20)[0]
        os.sched_yield()

    family.poller.dispatch()

    assert len(family.printed) == READ_BYTES < LINES
    family.children.kill_all()
    assert family.printed == b"\n" * LINES
