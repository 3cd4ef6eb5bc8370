"""The first Ctrl-C stops in order, the second at once, the third ends malbox alone: at any moment."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from e2e_harness import Place, Running, eventually, is_stopped
from terminals import Terminal

CTRL_C = "\x03"


def test_the_first_one_waits_for_a_plugin_that_does_not_end_and_the_second_one_kills_it(place: Place) -> None:
    manifest = place.manifest("ignores_term", stop_timeout="1h")
    with Terminal(place, "up", "-f", manifest) as terminal:
        terminal.wait_for("READY")
        plugin = place.plugin_status(manifest, "ignores_term")["pid"]

        terminal.type(CTRL_C)
        terminal.wait_for("stopping: SIGINT (once more to kill)")
        assert place.plugin_status(manifest, "ignores_term")["state"] == "STOPPING"
        assert psutil.pid_exists(plugin)
        terminal.type(CTRL_C)

        assert terminal.wait() == 130
        assert "killed on request" in terminal.shown
    assert not psutil.pid_exists(plugin)


def test_after_the_first_one_a_stop_ends_by_itself(place: Place) -> None:
    with Terminal(place, "up", "-f", place.manifest("ignores_term", stop_timeout="500ms")) as terminal:
        terminal.wait_for("READY")

        terminal.type(CTRL_C)

        assert terminal.wait() == 130
    assert "was killed because it did not end within 500ms (stop_timeout)" in terminal.shown


def test_the_third_one_ends_malbox_and_the_rest_goes_without_it(place: Place) -> None:
    place.orphans_are_fine = True
    with Terminal(place, "up", "-f", place.manifest("ignores_term", stop_timeout="1h")) as terminal:
        terminal.wait_for("READY")
        terminal.type(CTRL_C)
        terminal.wait_for("stopping: SIGINT")

        # What stands still takes the second and the third signal together, and has no time to do what the second says.
        terminal.running.signal(signal.SIGSTOP)
        eventually(lambda: is_stopped(terminal.running.pid), "it stands still")
        terminal.type(CTRL_C)
        eventually(lambda: is_pending(terminal.running.pid, signal.SIGINT), "the second one has come")
        terminal.running.signal(signal.SIGTERM)
        terminal.running.signal(signal.SIGCONT)

        assert terminal.wait() == 128 + signal.SIGTERM
    place.assert_nothing_left(patience=3)


@pytest.mark.parametrize("signs", [1, 2])
def test_a_run_is_stopped_or_killed(place: Place, signs: int) -> None:
    manifest = place.manifest("ignores_term", "echo", stop_timeout="1s" if signs == 1 else "1h")
    with Terminal(place, "run", "-f", manifest, "-v", place.sample(), "--set", "until=/no/such") as terminal:
        terminal.wait_for("ignores_term: READY")
        terminal.wait_for("waiting")

        terminal.type(CTRL_C)
        terminal.wait_for("stopping")
        if signs == 2:
            terminal.type(CTRL_C)

        assert terminal.wait() == 130
    assert "Traceback" not in terminal.shown


def test_a_signal_while_it_is_being_taken_apart_changes_nothing(place: Place) -> None:
    with Terminal(place, "up", "-f", place.manifest("echo")) as terminal:
        terminal.wait_for("READY")
        children = place.children_of(terminal.running.pid)
        [echo] = [pid for pid in children if runs(pid, "main.py")]
        [guardian] = [pid for pid in children if runs(pid, "guardian")]
        # It is waited for at the end, for a second.
        os.kill(guardian, signal.SIGSTOP)
        terminal.type(CTRL_C)
        eventually(lambda: not psutil.pid_exists(echo), "the plugin has ended")

        terminal.type(CTRL_C)

        assert terminal.wait() == 130
    assert "Traceback" not in terminal.shown


def is_pending(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("ShdPnd:")[2].split()[0], 16) >> (number - 1) & 1)


def runs(pid: int, program: str) -> bool:
    return any(program in part for part in psutil.Process(pid).cmdline())


Moment = Callable[[Place, Running], object]
MOMENTS: dict[str, Moment] = {
    "its folder is there": lambda place, up: eventually(lambda: len(place.files()) >= 1 or ended(up), "has a file"),
    "it makes its services": lambda place, up: eventually(lambda: len(place.files()) >= 8 or ended(up), "has files"),
    "its guardian is there": lambda place, up: eventually(lambda: has_children(place, up, 1), "has a child"),
    "its plugins start": lambda place, up: eventually(lambda: has_children(place, up, 3), "has children"),
}


def ended(up: Running) -> bool:
    return up.popen.poll() is not None


def has_children(place: Place, up: Running, count: int) -> bool:
    return ended(up) or len(place.children_of(up.pid)) >= count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_while_it_starts_ends_it_and_leaves_nothing(place: Place, moment: str, number: signal.Signals) -> None:
    up = place.start("up", "-f", place.manifest("echo", "raises"))
    MOMENTS[moment](place, up)

    up.signal(number)

    assert up.wait().code == 128 + number
    assert "Traceback" not in up.err
