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
        self.signals = StopSignals(self.poller)

    def listen(self) -> None:
        self.signals.listen(self.asked.append, lambda: self.asked.append("kill"), lambda: self.asked.append("woken up"))

    def close(self) -> None:
        self.signals.close()
        self.poller.close()


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
    stopped.close()


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_the_first_signal_stops_and_the_second_one_kills(stopped: Stopped, number: signal.Signals) -> None:
    stopped.listen()

    signal.raise_signal(number)
    signal.raise_signal(signal.SIGTERM)

    assert stopped.asked == [number.name, "kill"]
    assert stopped.signals.first == number


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_before_anybody_listens_a_signal_waits_for_whoever_looks(stopped: Stopped, number: signal.Signals) -> None:
    stopped.signals.check()
    signal.raise_signal(number)
    signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        stopped.signals.check()
    with pytest.raises(SystemExit):
        stopped.listen()

    assert ended.value.code == 128 + number
    assert not stopped.asked


def test_a_signal_keeps_nothing_from_being_taken_apart(stopped: Stopped) -> None:
    stopped.listen()
    stopped.signals.deafen()

    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    stopped.poller.dispatch()

    assert not stopped.asked


def test_any_signal_with_a_handler_wakes_the_wait(stopped: Stopped) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        stopped.listen()

        signal.raise_signal(signal.SIGUSR1)
        stopped.poller.dispatch()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    assert stopped.asked == ["woken up"]


def test_a_terminal_that_is_closed_does_not_stop_what_nohup_started() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped = Stopped()
    stopped.listen()

    signal.raise_signal(signal.SIGHUP)
    stopped.close()

    assert not stopped.asked
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


THRICE = """
import signal
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.signals import StopSignals
signals = StopSignals(Poller())
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
