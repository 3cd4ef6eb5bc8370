"""`up` and the commands that talk to it."""

import hashlib
import json
import os
import signal
import stat
import time
from pathlib import Path

import psutil
import pytest
from e2e_harness import PATIENCE, Place, eventually

ROW = {
    "id", "name", "state", "reason", "pid", "uptime", "restarts", "last_exit", "ready_at", "rss", "cpu", "tasks",
}  # fmt: skip


def test_status_says_what_the_processes_are(place: Place) -> None:
    manifest = place.manifest("echo", "raises")
    with place.up(manifest) as supervisor:
        place.send(manifest, "raises", place.sample())
        done = place.malbox("status", "-f", manifest, "--json")

        assert done.code == 0, done
        status = json.loads(done.out)
        assert status["supervisor"]["pid"] == supervisor.pid
        assert 0 < status["supervisor"]["uptime"] < PATIENCE
        assert status["supervisor"]["domain"]
        assert [row["id"] for row in status["plugins"]] == ["echo", "raises"]
        for row in status["plugins"]:
            assert row.keys() >= ROW
            assert row["state"] == "READY"
            assert row["pid"] in place.children_of(supervisor.pid)
            assert row["rss"] > 1 << 20
            assert abs(row["ready_at"] - time.time()) < PATIENCE
            assert row["restarts"] == 0
            assert row["last_exit"] is None
        assert status["plugins"][1]["tasks"] == {"queued": 0, "running": 0, "completed": 0, "failed": 1, "canceled": 0}

        table = place.malbox("status", "-f", manifest)
        assert table.code == 0
        assert "\x1b" not in table.out
        assert [line.split()[:2] for line in table.out.splitlines()[2:]] == [["echo", "READY"], ["raises", "READY"]]


def test_status_ends_with_3_while_a_plugin_is_not_ready_and_a_task_waits_for_it(place: Place) -> None:
    until = place.folder / "go"
    manifest = place.manifest(slow_start={"config": {"until": str(until)}})
    with place.up(manifest, ready=[]) as supervisor:
        eventually(lambda: place.malbox("status", "-f", manifest).code == 3, "status ends with 3")
        assert place.plugin_status(manifest, "slow_start")["state"] == "STARTING"
        task = place.start("send-task", "-f", manifest, "--json", "slow_start", place.sample())
        task.wait_for('"accepted"')
        eventually(lambda: place.plugin_status(manifest, "slow_start")["tasks"]["queued"] == 1, "is queued")
        assert "READY" not in supervisor.err

        until.touch()

        done = task.wait()
        assert done.code == 0
        assert [record["type"] for record in done.records] == ["accepted", "result", "completed"]
        assert place.malbox("status", "-f", manifest).code == 0


def test_ctrl_c_cancels_the_task_and_the_plugin_lives_on(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        pid = place.plugin_status(manifest, "echo")["pid"]
        task = place.start(
            "send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", f"until={place.folder}/no"
        )
        task.wait_for('"waiting"')

        task.signal(signal.SIGINT)

        done = task.wait(20)
        assert done.code == 130
        assert done.err == ""
        assert done.end["type"] == "canceled"
        assert place.send(manifest, "echo", place.sample()).code == 0
        row = place.plugin_status(manifest, "echo")
        assert row["pid"] == pid
        assert row["tasks"]["canceled"] == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_task_of_a_client_that_dies_is_cancelled(place: Place, number: int) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        task = place.start(
            "send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", f"until={place.folder}/no"
        )
        task.wait_for('"waiting"')

        task.signal(number)

        assert task.wait(20).code in (-number, 128 + number)
        eventually(lambda: place.plugin_status(manifest, "echo")["tasks"]["canceled"] == 1, "is cancelled")
        assert place.send(manifest, "echo", place.sample()).code == 0


def test_a_task_that_takes_too_long_ends_with_124(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        done = place.send(manifest, "echo", place.sample(), "--timeout", "0.2", "--set", f"until={place.folder}/no")

        assert done.code == 124
        assert done.end["type"] == "timeout"
        assert "took longer than 200ms" in done.end["error"]
        assert done.seconds < 30
        assert place.send(manifest, "echo", place.sample()).code == 0


def test_output_of_send_task_and_settings_reach_their_ends(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        done = place.send(
            manifest, "echo", place.sample(), "--output", "found", "--set", "sizes=7", "--set", "config=x"
        )

        assert done.code == 0
        config, data = done.of("result")
        assert config["data"]["task"] == {"sizes": "7", "config": "x"}
        assert Path(data["path"]).is_relative_to(place.folder / "found")
        assert hashlib.sha256(Path(data["path"]).read_bytes()).hexdigest() == data["sha256"]


def test_two_tasks_at_once_go_one_after_the_other(place: Place) -> None:
    manifest = place.manifest("echo")
    until = place.folder / "go"
    with place.up(manifest):
        first = place.start("send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", f"until={until}")
        first.wait_for('"waiting"')
        second = place.start("send-task", "-f", manifest, "--json", "echo", place.sample())
        second.wait_for('"accepted"')
        tasks = place.plugin_status(manifest, "echo")["tasks"]
        assert (tasks["running"], tasks["queued"]) == (1, 1)

        until.touch()

        assert first.wait().code == 0
        assert second.wait().code == 0
        assert {first.wait().end["task"], second.wait().end["task"]} == {1, 2}


def test_down_returns_when_nothing_is_left(place: Place) -> None:
    manifest = place.manifest("echo", "raises")
    supervisor = place.start_up(manifest)
    pids = [supervisor.pid, *place.children_of(supervisor.pid)]

    down = place.malbox("down", "-f", manifest)

    assert down.code == 0
    # The supervisor's parent, this process, has yet to reap it.
    assert not [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]
    assert supervisor.wait(0.5).code == 0
    assert place.leftovers() == []


def test_down_cancels_the_task_that_runs(place: Place) -> None:
    manifest = place.manifest("echo")
    supervisor = place.start_up(manifest)
    task = place.start("send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", "until=/no/such")
    task.wait_for('"waiting"')

    assert place.malbox("down", "-f", manifest).code == 0

    assert supervisor.wait(1).code == 0
    done = task.wait(1)
    assert done.code == 1
    assert done.end["type"] == "canceled"
    assert "the supervisor is stopping" in done.end["error"]


@pytest.mark.parametrize("command", [["status"], ["down"], ["send-task", "echo", "/bin/ls"]], ids=lambda c: c[0])
def test_a_command_without_a_supervisor_names_the_one_that_starts_it(place: Place, command: list[str]) -> None:
    manifest = place.manifest("echo")

    done = place.malbox(command[0], "-f", manifest, *command[1:])

    assert done.code == 69
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert f"malbox up -f {manifest}" in done.err


def test_a_second_supervisor_names_the_first(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest) as first:
        second = place.malbox("up", "-f", manifest)

        assert second.code == 1
        assert second.err.count("\n") == 1
        assert f"process {first.pid}" in second.err
        assert place.status(manifest)["supervisor"]["pid"] == first.pid


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_in_order(place: Place, name: str) -> None:
    number = signal.Signals[name]
    supervisor = place.start_up(place.manifest("echo", "raises"))

    supervisor.signal(number)

    done = supervisor.wait(20)
    assert done.code == 128 + number
    assert "echo: stopped" in done.err
    assert "raises: stopped" in done.err


def test_the_second_signal_kills_a_plugin_that_ignores_everything(place: Place) -> None:
    supervisor = place.start_up(place.manifest("ignores_term", stop_timeout="60s"))
    supervisor.signal(signal.SIGINT)
    supervisor.wait_for("stopping: SIGINT")

    supervisor.signal(signal.SIGINT)

    assert supervisor.wait(20).code == 130


def test_the_third_signal_ends_malbox_at_once_and_its_guardian_the_rest(place: Place) -> None:
    place.orphans_are_fine = True
    supervisor = place.start_up(place.manifest("ignores_term", stop_timeout="60s"))
    os.kill(supervisor.pid, signal.SIGSTOP)
    supervisor.signal(signal.SIGINT)
    supervisor.signal(signal.SIGTERM)
    supervisor.signal(signal.SIGHUP)
    os.kill(supervisor.pid, signal.SIGCONT)

    assert supervisor.wait(20).code in (129, 130, 143)

    place.assert_nothing_left()


def test_what_malware_wrote_is_for_nobody_else(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        place.send(manifest, "echo", place.sample(), "--set", "sizes=3")
        state = place.folder / ".malbox"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        for path in state.rglob("*"):
            mode = 0o700 if path.is_dir() else 0o400 if "objects" in path.parts else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == mode, path
        [socket] = [path for path in place.runtime.rglob("*") if path.is_socket() and path.name == "control.sock"]
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(place.runtime.stat().st_mode) == 0o700


def test_up_ends_with_1_when_every_plugin_has_failed(place: Place) -> None:
    done = place.malbox("up", "-f", place.manifest("exits_before_ready", "fails_on_start"))

    assert done.code == 1
    assert "rules/extra.yar: no such file" in done.err
    assert "exits_before_ready: exited with code 4 before it was ready" in done.err


def test_only_the_plugins_that_are_named_are_started(place: Place) -> None:
    manifest = place.manifest("echo", "raises")
    with place.up(manifest, "echo", ready=["echo"]):
        assert [row["id"] for row in place.status(manifest)["plugins"]] == ["echo"]

        refused = place.send(manifest, "raises", place.sample())

        assert refused.code == 1
        assert refused.records[0]["type"] == "refused"
