"""`run` in real processes: how a plugin starts, stops and dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata

import pytest
from harness import DEADLINE
from process_rig import PLUGIN, TOP, Place

from plugin_runtime.wire.codec import decode_hello
from plugin_runtime.wire.messages import EventKind

ENDS_WITHIN = 2.0
"""Seconds within which a plugin ends whose supervisor is gone."""


def run_alone(variables: Mapping[str, str], *, program: tuple[str, ...] = (str(PLUGIN),)) -> tuple[int, str, str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "LOG": "/dev/null", **variables}
    argv = [sys.executable, *program]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return done.returncode, done.stdout, done.stderr


def test_started_by_hand_it_says_how_to_start_it_in_one_line() -> None:
    said = (
        "scripted.py: MALBOX_PLUGIN_ID is not set: a plugin is started by malbox, not by hand. Name its folder in a "
        "manifest (`malbox init FOLDER` writes one), then run `malbox run SAMPLE`\n"
    )
    assert run_alone({}) == (2, "", said)


def test_a_bad_environment_is_one_line() -> None:
    environment = {"MALBOX_PLUGIN_ID": "a", "MALBOX_PROTOCOL": "1", "MALBOX_SUPERVISOR_PID": "x"}
    assert run_alone(environment) == (
        1,
        "",
        "scripted.py: MALBOX_SUPERVISOR_PID='x' is not a number from 1 up\n",
    )


def test_outside_of_the_main_thread_it_refuses_to_run() -> None:
    code = (
        "import threading, plugin_runtime as malbox\n"
        "thread = threading.Thread(target=lambda: malbox.run(malbox.Plugin()))\n"
        "thread.start(); thread.join()\n"
    )
    status, _, errors = run_alone({"MALBOX_PLUGIN_ID": "a"}, program=("-c", code))
    assert status == 0
    assert errors == "-c: run was called by another thread than the main one, which alone is told of signals\n"


def test_a_supervisor_that_is_gone_already_is_named(place: Place) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with place.plugin(place.environment(supervisor_pid=gone.pid)) as process:
        assert process.ended() == 1
        assert process.errors == f"scripted.py: the supervisor (process {gone.pid}) is gone\n"
        assert process.log == []


def test_it_says_hello_works_and_stops(place: Place) -> None:
    with place.plugin(None, "echo-plugin", "1.2.3") as process:
        place.ready()
        assert place.pids == [process.pid]
        hello = decode_hello(place.events[0].payload)
        assert hello is not None
        assert (hello.plugin, hello.version, hello.instance, hello.protocol) == ("echo-plugin", "1.2.3", "nonce", 1)
        assert hello.iceoryx2 == metadata.version("iceoryx2")
        assert hello.runtime.startswith("malbox-python ")
        assert hello.extensions >= {"credits", "cancel"}
        for task_id, size in enumerate([0, 1, 1 << 20, 5_000_000], 1):
            task = place.do(task_id, do="echo", size=str(size))
            assert (task.error, [data for _, _, data in task.results]) == (None, [b"e" * size])
        place.tell(EventKind.DAEMON_SHUTDOWN)
        assert process.ended() == 0
        assert place.kinds()[-1] is EventKind.PLUGIN_STOPPED
        assert process.log == ["on_start {'rules': 'strict'}", *["on_task"] * 4, "on_stop"]
        assert process.errors == ""


def test_under_a_foreign_daemon_it_speaks_the_plain_protocol(place: Place) -> None:
    with place.plugin(place.environment(foreign=True)) as process:
        place.ready()
        assert place.events[0].payload == b""
        task = place.finish(place.send(1, do="echo", size=str(20 << 20)), grant=False)
        assert task.error is None
        assert task.results[0][2] == b"e" * (20 << 20)
        place.tell(EventKind.DAEMON_SHUTDOWN)
        assert process.ended() == 0
        assert process.log[0] == "on_start {}"
        assert process.errors == ""


def test_a_cancel_reaches_a_handler_that_runs(place: Place) -> None:
    with place.plugin():
        place.ready()
        task = place.send(1, do="wait_for_cancel")
        place.until(lambda: task.receive() and bool(task.progress))
        place.cancel(1)
        assert place.finish(task).error == "the task was cancelled"
        assert place.do(2).error is None


def test_the_id_of_a_living_plugin_is_refused_to_another(place: Place) -> None:
    with place.plugin() as first:
        place.ready()
        with place.plugin() as second:
            assert second.ended() == 1
            assert second.errors.count("\n") == 1
            assert "another process holds that place already" in second.errors
        assert place.do(1).error is None
        assert first.popen.poll() is None


@contextmanager
def other_supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for the supervisor and can be killed."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("what", [None, "spin", "sleep_on", "wait_for_cancel", "push_for_ever", "leave_thread"])
def test_a_plugin_whose_supervisor_is_killed_ends_by_itself(place: Place, what: str | None) -> None:
    with (
        other_supervisor() as supervisor,
        place.plugin(place.environment(supervisor_pid=supervisor.pid)) as process,
    ):
        place.ready()
        if what == "push_for_ever":
            place.blocked(process)
        elif what is not None:
            place.send(1, do=what)
            place.until(lambda: "on_task" in process.log)
        supervisor.kill()
        since = time.monotonic()
        assert process.ended(ENDS_WITHIN) == 1
        assert time.monotonic() - since < ENDS_WITHIN
        assert f"the supervisor (process {supervisor.pid}) is gone; the plugin ends" in process.errors
        assert ("on_stop" in process.log) is (what not in ("spin", "sleep_on"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("foreign", [False, True], ids=["ours", "foreign"])
def test_a_signal_stops_it_in_order(place: Place, number: signal.Signals, foreign: bool) -> None:
    with place.plugin(place.environment(foreign=foreign)) as process:
        place.ready()
        process.popen.send_signal(number)
        assert process.ended() == 0
        assert place.kinds()[-1] is EventKind.PLUGIN_STOPPED
        assert process.log[-1] == "on_stop"
        assert process.errors == ""


def test_a_signal_cancels_what_runs(place: Place) -> None:
    with place.plugin() as process:
        place.ready()
        task = place.send(1, do="wait_for_cancel")
        place.until(lambda: task.receive() and bool(task.progress))
        process.popen.terminate()
        assert place.finish(task).error == "the task was cancelled"
        assert process.ended() == 0
        assert place.kinds()[-2:] == [EventKind.TASK_CANCELED, EventKind.PLUGIN_STOPPED]


@pytest.mark.parametrize("what", ["spin", "sleep_on"])
def test_a_second_signal_ends_a_handler_that_does_not(place: Place, what: str) -> None:
    with place.plugin() as process:
        place.ready()
        place.send(1, do=what)
        place.until(lambda: "on_task" in process.log)
        process.popen.terminate()
        place.until(lambda: "cancelled" in process.log)
        assert process.popen.poll() is None
        process.popen.terminate()
        assert process.ended() == -signal.SIGTERM


@pytest.mark.parametrize("foreign", [False, True], ids=["credits", "blocking"])
@pytest.mark.parametrize("how", ["signal", "shutdown"])
def test_it_can_be_stopped_while_it_waits_for_room(place: Place, foreign: bool, how: str) -> None:
    with place.plugin(place.environment(foreign=foreign)) as process:
        place.ready()
        place.blocked(process)
        if how == "signal":
            process.popen.terminate()
        else:
            place.tell(EventKind.DAEMON_SHUTDOWN)
        assert process.ended(3.0) == 0
        assert process.log[-1] == "on_stop"
        assert place.kinds()[-1] is EventKind.PLUGIN_STOPPED


def test_a_killed_plugin_is_started_again_on_the_same_id(place: Place) -> None:
    for turn in range(3):
        with place.plugin() as process:
            place.until(lambda turn=turn: place.kinds().count(EventKind.PLUGIN_STARTED) == turn + 1)
            assert place.do(turn + 1, do="echo", size="10").names == ["echo"]
            process.popen.kill()
            assert process.ended() == -signal.SIGKILL


def test_leaving_writes_what_was_printed_and_runs_atexit(place: Place) -> None:
    code = (
        "import atexit, plugin_runtime as malbox\n"
        "atexit.register(print, 'at exit')\n"
        "class P(malbox.Plugin):\n"
        "    def on_stop(self): print('stopping')\n"
        "malbox.run(P())\n"
    )
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), **place.environment()}
    with subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE) as popen:
        place.ready()
        place.tell(EventKind.DAEMON_SHUTDOWN)
        assert popen.communicate(timeout=DEADLINE)[0] == b"stopping\nat exit\n"
        assert popen.returncode == 0
