"""`start`, `stop`, `restart`, `wait`, `events`, and how `up` ends because of its plugins."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import PLUGINS, Done, Place, Running, eventually

ECHO = {"path": str(PLUGINS / "echo")}


def state_of(place: Place, manifest: Path, plugin: str) -> str:
    state: str = place.plugin_status(manifest, plugin)["state"]
    return state


def kill(place: Place, manifest: Path, plugin: str, number: int = signal.SIGKILL) -> int:
    """Kill a plugin's process; return which that was."""
    pid: int = place.plugin_status(manifest, plugin)["pid"]
    os.kill(pid, number)
    return pid


def ended(place: Place, manifest: Path, up: Running) -> Done:
    """Stop the supervisor with `malbox down`; return how it ended."""
    down = place.malbox("down", "-f", manifest)
    assert down.code == 0, down
    return up.wait(20)


def test_a_stopped_plugin_stays_stopped_until_it_is_started(place: Place) -> None:
    manifest = place.manifest("echo", **{"yara-1": ECHO, "yara-2": ECHO})
    with place.up(manifest):
        stop = place.malbox("stop", "-f", manifest, "yara-*")

        assert stop.code == 0, stop
        assert stop.err == "yara-1 is STOPPED\nyara-2 is STOPPED\n"
        assert [state_of(place, manifest, plugin) for plugin in ("echo", "yara-1", "yara-2")] == [
            "READY",
            "STOPPED",
            "STOPPED",
        ]
        assert (
            place.send(manifest, "yara-1", place.sample())
            .of("refused")[0]["error"]
            .startswith("plugin yara-1 is STOPPED")
        )
        assert place.malbox("start", "-f", manifest, "yara-1").code == 0
        assert place.send(manifest, "yara-1", place.sample()).code == 0


def test_a_supervisor_whose_only_plugin_was_stopped_waits_for_its_start(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        assert place.malbox("stop", "-f", manifest, "echo").code == 0
        assert place.malbox("start", "-f", manifest, "echo").code == 0


def test_a_restart_gives_a_new_process_and_does_what_waits(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        before = place.plugin_status(manifest, "echo")["pid"]

        restart = place.malbox("restart", "-f", manifest, "echo")

        assert (restart.code, restart.err) == (0, "echo is READY\n")
        row = place.plugin_status(manifest, "echo")
        assert row["pid"] != before
        assert row["restarts"] == 1
        assert place.send(manifest, "echo", place.sample()).code == 0


def test_a_plugin_that_fails_again_is_told_with_its_last_words(place: Place) -> None:
    manifest = place.manifest("echo", "exits_before_ready")
    up = place.start_up(manifest, ready=["echo"])
    up.wait_for("exited with code 4")

    start = place.malbox("start", "-f", manifest, "exits_before_ready")

    assert start.code == 1
    assert "plugin exits_before_ready is FAILED: exited with code 4 before it was ready" in start.err
    assert "rules/extra.yar: no such file" in start.err
    done = ended(place, manifest, up)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "plugin exits_before_ready FAILED: exited with code 4 before it was ready" in last
    assert last.endswith("; it last printed: rules/extra.yar: no such file")


@pytest.mark.parametrize("command", ["start", "stop", "restart", "wait"])
def test_a_plugin_that_there_is_not_is_bad_usage(place: Place, command: str) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        done = place.malbox(command, "-f", manifest, "ecco")

        assert done.code == 2
        assert "there is no plugin 'ecco' (did you mean 'echo'?)" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("start", "echo"), ("stop", "echo"), ("restart", "echo"), ("wait",), ("events",), ("reload",)],
    ids=str,
)
def test_without_a_supervisor_the_command_that_starts_one_is_named(place: Place, arguments: Sequence[str]) -> None:
    manifest = place.manifest("echo")

    done = place.malbox(*arguments, "--manifest", manifest)

    assert done.code == 69
    assert f"start one with `malbox up -f {manifest}`" in done.err


def test_wait_returns_when_all_are_ready(place: Place) -> None:
    flag = place.folder / "go"
    manifest = place.manifest("echo", slow_start={"config": {"until": str(flag)}})
    wait = place.start("wait", "-f", manifest, "--timeout", "60")  # before there is a supervisor
    up = place.start("up", "-f", manifest)
    up.wait_for("echo: READY")
    assert place.malbox("wait", "-f", manifest, "echo").code == 0
    late = place.malbox("wait", "-f", manifest, "--timeout", "0.1")
    assert late.code == 124
    assert "plugin slow_start is not READY after 0.1 s: it is STARTING" in late.err
    assert wait.popen.poll() is None

    flag.touch()

    assert wait.wait().code == 0
    assert ended(place, manifest, up).code == 0


def test_wait_ends_as_soon_as_a_plugin_cannot_become_ready(place: Place) -> None:
    manifest = place.manifest("echo", "exits_before_ready")
    up = place.start_up(manifest, ready=["echo"])

    wait = place.malbox("wait", "-f", manifest)

    assert wait.code == 3
    assert "plugin exits_before_ready is FAILED" in wait.err
    assert ended(place, manifest, up).code == 1


@pytest.mark.parametrize("flags", [["-f", "--json"], ["--follow", "--json"]], ids=" ".join)
def test_events_say_what_is_so_and_then_what_changes(place: Place, flags: list[str]) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        now = place.malbox("events", "--manifest", manifest, "--json")
        assert [(record["type"], record["state"]) for record in now.records] == [
            ("supervisor", "running"),
            ("plugin", "READY"),
        ]
        events = place.start("events", "--manifest", manifest, *flags)
        events.wait_for("READY")
        assert place.malbox("restart", "-f", manifest, "echo").code == 0

    lines: list[dict[str, Any]] = events.wait().records
    states = [line["state"] for line in lines if line["type"] == "plugin"]
    assert states == ["READY", "STOPPING", "PENDING", "STARTING", "READY", "STOPPING", "STOPPED"]
    assert [line["state"] for line in lines if line["type"] == "supervisor"] == ["running", "stopping"]
    assert all(line["reason"] for line in lines if line["type"] == "plugin")
    assert events.popen.returncode == 0


def test_events_take_the_manifest_after_f_as_every_command_does(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        done = place.malbox("events", "-f", manifest)

        assert done.code == 0
        assert "echo READY" in done.out


def test_a_plugin_that_was_killed_comes_back_and_is_not_forgotten_at_the_end(place: Place) -> None:
    manifest = place.manifest(echo={"restart": "on-failure"})
    up = place.start_up(manifest)
    pid = kill(place, manifest, "echo")

    eventually(lambda: place.plugin_status(manifest, "echo")["pid"] not in (None, pid), "it has a new process")

    assert place.malbox("wait", "-f", manifest).code == 0
    assert place.plugin_status(manifest, "echo")["restarts"] == 1
    assert place.send(manifest, "echo", place.sample()).code == 0
    done = ended(place, manifest, up)
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith("(it was started again once)")


@pytest.mark.parametrize(
    ("exit_on", "number", "code"),
    [("failure", signal.SIGKILL, 137), ("any", signal.SIGSEGV, 139), ("any", signal.SIGTERM, 0)],
)
def test_up_ends_when_a_plugin_does_with_its_signal(place: Place, exit_on: str, number: int, code: int) -> None:
    manifest = place.manifest("echo", other=ECHO)
    up = place.start_up(manifest, "--exit-on", exit_on)

    kill(place, manifest, "other", number)

    done = up.wait(20)
    assert done.code == code, done
    if code:
        name = signal.Signals(number).name
        assert f"plugin other FAILED: was killed by {name} (signal {number})" in done.err.splitlines()[-1]


def test_up_goes_on_without_any_plugin_where_that_is_wanted(place: Place) -> None:
    manifest = place.manifest("echo")
    up = place.start_up(manifest, "--exit-on", "never")
    kill(place, manifest, "echo")
    eventually(lambda: state_of(place, manifest, "echo") == "FAILED", "it has failed")

    assert place.malbox("start", "-f", manifest, "echo").code == 0
    assert ended(place, manifest, up).code == 1


def test_a_plugin_that_crashes_again_and_again_fails_with_the_limit(place: Place) -> None:
    manifest = place.manifest("echo", exits_before_ready={"restart": "on-failure"})
    up = place.start_up(manifest, ready=["echo"])

    events = place.malbox("wait", "-f", manifest, "exits_before_ready", patience=60)

    assert events.code == 3
    assert "start-limit: 5 starts within 1m did not help" in events.err
    row = place.plugin_status(manifest, "exits_before_ready")
    assert (row["state"], row["restarts"]) == ("FAILED", 4)
    assert ended(place, manifest, up).code == 1


def test_a_plugin_waits_for_those_that_it_comes_after(place: Place) -> None:
    flag = place.folder / "go"
    manifest = place.manifest("echo", slow_start={"config": {"until": str(flag)}})
    text = manifest.read_text().replace("[plugins.echo]", '[plugins.echo]\nafter = ["slow_start"]')
    manifest.write_text(text)
    up = place.start("up", "-f", manifest)
    up.wait_for("supervising")
    eventually(lambda: state_of(place, manifest, "slow_start") == "STARTING", "the first is started")
    assert state_of(place, manifest, "echo") == "PENDING"
    assert place.plugin_status(manifest, "echo")["reason"] == "waits for slow_start (STARTING)"

    flag.touch()

    up.wait_for("echo: READY")
    done = ended(place, manifest, up)
    assert done.code == 0
    assert done.err.index("echo: stopped") < done.err.index("slow_start: stopped")


def test_events_of_a_json_line_are_whole_objects(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        done = place.malbox("events", "--manifest", manifest, "--json")

    [_, plugin] = [json.loads(line) for line in done.out.splitlines()]
    assert plugin.keys() == {
        *("type", "time", "plugin", "state", "reason", "since", "pid", "restarts", "last_exit", "last_lines"),
    }


def test_a_supervisor_that_stands_still_is_told_of_by_every_command_that_asks_it(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest) as up:
        up.signal(signal.SIGSTOP)
        commands: list[list[object]] = [
            ["status", "-f", manifest],
            ["events", "-f", manifest],
            ["wait", "-f", manifest, "--timeout", 1],
            ["wait", "-f", manifest, "--timeout", 1, "echo"],
            ["restart", "-f", manifest, "--timeout", 1, "echo"],
            ["reload", "-f", manifest, "--timeout", 1],
            ["send-task", "-f", manifest, "echo", place.sample()],
        ]
        running = [place.start(*command) for command in commands]
        done = [each.wait(20) for each in running]
        up.signal(signal.SIGCONT)

    assert [each.code for each in done] == [124] * len(commands)
    said = f"malbox: the supervisor (process {up.pid}) does not answer: it was stopped, as by Ctrl-Z: "
    assert all(each.err.startswith(said) and f"`kill -CONT {up.pid}`" in each.err for each in done), done


def test_a_time_limit_however_short_never_makes_ready_what_is_not(place: Place) -> None:
    manifest = place.manifest("never_ready")
    up = place.start_up(manifest, ready=[])
    up.wait_for("looking for a licence server")

    wait = place.malbox("wait", "-f", manifest, "--timeout", "1e-9")

    ended(place, manifest, up)
    assert wait.code == 124
    assert "plugin never_ready is not READY after 1e-09 s: it is STARTING" in wait.err
