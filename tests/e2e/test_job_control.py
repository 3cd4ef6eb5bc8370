"""Ctrl-Z and `fg`, a terminal that is closed, `nohup`: with a real shell on a real terminal."""

import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_harness import Place, Running, eventually, is_stopped
from terminals import Terminal

from malbox_cli.supervisor.clock import LATE_SECONDS

CTRL_Z = "\x1a"
TIMEOUT = 3.0


class Shell(Terminal):
    """An interactive bash."""

    def __init__(self, place: Place) -> None:
        self._place = place
        place_argv, place.argv = place.argv, ("/bin/bash",)
        try:
            super().__init__(place, "--norc", "--noprofile", "-i", env={"PS1": "$ ", "HISTFILE": ""})
        finally:
            place.argv = place_argv
        self.wait_for("$ ")

    def run(self, *arguments: object) -> None:
        self.type(shlex.join([*self._place.argv, *map(str, arguments)]) + "\n")


@pytest.fixture
def shell(place: Place) -> Iterator[Shell]:
    place.orphans_are_fine = True  # the shell does not wait for its jobs when its terminal is closed
    with Shell(place) as shell:
        yield shell
        shell.hang_up()
        shell.running.popen.wait(15)


def pids_of(place: Place, manifest: Path) -> tuple[int, int]:
    """Return the supervisor's process and the plugin's."""
    plugin = place.plugin_status(manifest, "echo")["pid"]
    return psutil.Process(plugin).ppid(), plugin


def task(place: Place, manifest: Path, until: Path) -> Running:
    task = place.start(
        *("send-task", "-f", manifest, "--json", "--timeout", TIMEOUT, "echo", place.sample()),
        *("--set", f"until={until}"),
    )
    task.wait_for('"waiting"')
    return task


def test_ctrl_z_stops_the_plugins_too_and_the_time_until_fg_does_not_count(place: Place, shell: Shell) -> None:
    manifest, until = place.manifest("echo"), place.folder / "go"
    shell.run("up", "-f", manifest)
    shell.wait_for("echo: READY")
    supervisor, plugin = pids_of(place, manifest)
    running = task(place, manifest, until)

    shell.type(CTRL_Z)
    shell.wait_for("Stopped")
    eventually(lambda: is_stopped(supervisor) and is_stopped(plugin), "both stand still")
    over = time.monotonic() + TIMEOUT + 0.2
    until.touch()
    eventually(lambda: time.monotonic() > over, "the task's time is over")
    shell.type("fg\n")

    done = running.wait()
    assert done.end["type"] == "completed", done
    assert done.end["seconds"] < TIMEOUT
    status = place.status(manifest)
    assert status["supervisor"]["uptime"] > TIMEOUT
    ready_at = status["plugins"][0]["ready_at"]
    assert time.time() - ready_at > TIMEOUT
    shell.type("\x03")
    shell.wait_for("echo: stopped")
    shell.wait_for("$ ", 3)


def test_a_second_ctrl_z_works_like_the_first(place: Place, shell: Shell) -> None:
    manifest = place.manifest("echo")
    shell.run("up", "-f", manifest)
    shell.wait_for("echo: READY")
    supervisor, plugin = pids_of(place, manifest)

    for times in (1, 2):
        shell.type(CTRL_Z)
        shell.wait_for("Stopped", times)
        eventually(lambda: is_stopped(supervisor) and is_stopped(plugin), "both stand still")
        shell.type("fg\n")
        eventually(lambda: not is_stopped(supervisor) and not is_stopped(plugin), "they go on")

    assert place.send(manifest, "echo", place.sample()).code == 0


def test_a_run_that_was_stopped_goes_on(place: Place, shell: Shell) -> None:
    manifest, until = place.manifest("echo"), place.folder / "go"
    shell.run("run", "-f", manifest, place.sample(), "--set", f"until={until}")
    shell.wait_for("waiting")

    shell.type(CTRL_Z)
    shell.wait_for("Stopped")
    until.touch()
    shell.type("fg\n")

    shell.wait_for("completed after")


def test_a_stop_that_nobody_can_catch_does_not_count_either(place: Place) -> None:
    manifest, until = place.manifest("echo"), place.folder / "go"
    with place.up(manifest):
        supervisor, plugin = pids_of(place, manifest)
        running = task(place, manifest, until)
        os.kill(plugin, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGSTOP)
        eventually(lambda: is_stopped(supervisor) and is_stopped(plugin), "they are stopped")
        # Longer by more than the clock takes for nothing, should SIGCONT be heard of a moment late.
        over = time.monotonic() + TIMEOUT + 2 * LATE_SECONDS
        until.touch()
        eventually(lambda: time.monotonic() > over, "the task's time is over")

        os.kill(supervisor, signal.SIGCONT)

        assert running.wait().end["type"] == "completed"


def test_where_no_shell_would_say_fg_ctrl_z_stops_nothing(place: Place) -> None:
    manifest = place.manifest("echo")
    with Terminal(place, "up", "-f", manifest) as terminal:
        terminal.wait_for("READY")

        terminal.type(CTRL_Z)

        assert place.send(manifest, "echo", place.sample()).code == 0
        terminal.type("\x03")
        assert terminal.wait() == 130


@pytest.mark.parametrize("command", ["up", "run"])
def test_a_terminal_that_is_closed_ends_everything_in_order(place: Place, command: str) -> None:
    manifest = place.manifest("echo")
    arguments = [place.sample(), "--set", "until=/no/such"] if command == "run" else []
    with Terminal(place, command, "-f", manifest, *arguments) as terminal:
        terminal.wait_for("waiting" if command == "run" else "READY")

        terminal.hang_up()

        assert terminal.running.popen.wait(15) == 128 + signal.SIGHUP


def test_nohup_outlives_its_terminal(place: Place) -> None:
    manifest = place.manifest("echo")
    place.argv = ("/usr/bin/nohup", *place.argv)
    with Terminal(place, "up", "-f", manifest) as terminal:
        log = place.folder / "nohup.out"
        eventually(lambda: log.exists() and "READY" in log.read_text(), "is READY")

        terminal.hang_up()

        assert place.send(manifest, "echo", place.sample()).code == 0
        assert place.malbox("down", "-f", manifest).code == 0
        assert terminal.running.popen.wait(15) == 0
