"""The signals that stop a supervisor."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.signals import StopSignals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped:
    """What the signals asked for."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.asked: list[str] = []
        self.signals = StopSignals(self.poller, self.asked.append, lambda: self.asked.append("kill"))


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def stopped() -> Iterator[Stopped]:
    stopped = Stopped()
    yield stopped
    stopped.signals.close()
    stopped.poller.close()


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_the_first_signal_stops_and_the_second_one_kills(stopped: Stopped, number: signal.Signals) -> None:
    signal.raise_signal(number)
    signal.raise_signal(signal.SIGTERM)

    assert stopped.asked == [number.name, "kill"]
    assert stopped.signals.first == number


def test_a_terminal_that_is_closed_does_not_stop_what_nohup_started() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped = Stopped()

    signal.raise_signal(signal.SIGHUP)
    stopped.signals.close()
    stopped.poller.close()

    assert not stopped.asked
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


THRICE = """
import signal
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.signals import StopSignals
signals = StopSignals(Poller(), lambda name: None, lambda: None)
for _ in range(3):
    signal.raise_signal(signal.SIGINT)
"""


def test_the_third_signal_ends_this_process_and_gives_the_terminal_its_cursor_back() -> None:
    terminal, slave = pty.openpty()

    ended = subprocess.run(
        [sys.executable, "-c", THRICE], stdout=slave, stderr=subprocess.PIPE, timeout=60, check=False
    )

    assert (ended.returncode, ended.stderr) == (130, b"")
    assert os.read(terminal, 100) == b"\x1b[?25h"
    os.close(terminal)
    os.close(slave)
