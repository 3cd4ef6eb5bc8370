"""What plugins leave running: nothing is left of it, whoever dies how, and the log says how much there was."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from e2e_harness import MALBOX, Place, Running, eventually

from malbox_cli.supervisor.strays import mark_of, nonce_in

LEAVES = {
    "escapes_its_group": 2,
    "double_forks": 3,
    "wipes_environment": 1,
    "holds_stdout": 1,
    "burst_of_forks": 50,
}
PLUGINS = [*LEAVES, "ignores_everything"]


def start(place: Place, manifest: Path, name: str) -> tuple[Running, list[int]]:
    """Start a supervisor and have the plugin start its processes; return which they are."""
    up = place.start_up(manifest)
    [result] = place.send(manifest, name, place.sample()).of("result")
    pids: list[int] = result["data"]
    assert all(lives(pid) for pid in pids)
    return up, pids


def lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def message(name: str, count: int) -> str:
    many = f"{count} processes" if count > 1 else "a process"
    return f"{name}: killed {many} that it had left"


@pytest.mark.parametrize("name", LEAVES)
def test_what_a_plugin_leaves_when_it_ends_is_killed_and_counted(place: Place, name: str) -> None:
    manifest = place.manifest(name)
    up, pids = start(place, manifest, name)
    supervisor = psutil.Process(up.pid)

    psutil.Process(place.plugin_status(manifest, name)["pid"]).kill()
    up.wait(20)

    assert message(name, LEAVES[name]) in up.err
    assert len(pids) == LEAVES[name]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not supervisor.is_running()


@pytest.mark.parametrize("name", LEAVES)
def test_what_a_plugin_leaves_when_it_is_stopped_is_killed_and_counted(place: Place, name: str) -> None:
    manifest = place.manifest(name)
    with place.up(manifest) as up:
        [result] = place.send(manifest, name, place.sample()).of("result")
    assert message(name, LEAVES[name]) in up.err
    assert not any(psutil.pid_exists(pid) for pid in result["data"])


def test_one_that_ignores_everything_is_killed_after_stop_timeout_with_what_it_started(place: Place) -> None:
    manifest = place.manifest("ignores_everything", "echo", stop_timeout="600ms")
    up, pids = start(place, manifest, "ignores_everything")

    assert place.malbox("down", "-f", manifest).code == 0

    up.wait(20)
    assert "killing it" in up.err
    assert message("ignores_everything", 1) in up.err  # the other one was killed with its group
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("name", PLUGINS)
def test_nothing_of_it_is_left_two_seconds_after_the_supervisor_was_killed(place: Place, name: str) -> None:
    place.orphans_are_fine = True
    up, pids = start(place, place.manifest(name), name)

    up.popen.kill()
    up.popen.wait()

    eventually(lambda: not any(lives(pid) for pid in pids), "they have ended", 2)
    place.assert_nothing_left(patience=2)


@pytest.mark.parametrize("name", PLUGINS)
def test_where_everybody_was_killed_at_once_plugins_end_and_the_next_run_ends_the_rest(place: Place, name: str) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest(name, stop_timeout="500ms")
    up, pids = start(place, manifest, name)
    plugin = place.plugin_status(manifest, name)["pid"]
    everybody = [psutil.Process(pid) for pid in (up.pid, *place.children_of(up.pid)) if pid != plugin]
    everybody = [process for process in everybody if process.pid not in pids]  # guardian and launcher too
    for process in everybody:
        process.suspend()
    for process in everybody:
        process.kill()
    up.popen.wait()
    eventually(lambda: not lives(plugin), "the plugin has ended with its supervisor", 2)

    next_up = place.start_up(manifest)

    assert not any(lives(pid) for pid in pids)
    next_up.signal(signal.SIGTERM)
    next_up.wait(20)


def test_a_killed_launcher_is_replaced_when_a_plugin_is_started(place: Place) -> None:
    manifest = place.manifest("ignores_cancel")
    with place.up(manifest, code=1) as up:
        plugin = place.plugin_status(manifest, "ignores_cancel")["pid"]
        [launcher] = [pid for pid in place.children_of(up.pid) if pid != plugin and nonce_in(mark_of(pid)) is not None]
        os.kill(launcher, signal.SIGKILL)

        task = place.send(manifest, "ignores_cancel", "--timeout", "0.2", place.sample(), "--set", "how=python")

        assert task.end["type"] == "timeout"
        eventually(lambda: place.plugin_status(manifest, "ignores_cancel")["state"] == "READY", "it is READY once more")
        assert place.plugin_status(manifest, "ignores_cancel")["pid"] != plugin
        assert launcher not in place.children_of(up.pid)


def test_an_adopted_process_that_ends_leaves_no_zombie_with_the_supervisor(place: Place) -> None:
    manifest = place.manifest("double_forks")
    with place.up(manifest) as up:
        [result] = place.send(manifest, "double_forks", place.sample()).of("result")
        pids = result["data"]
        assert set(pids) <= set(place.children_of(up.pid))
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), "they were reaped")
    assert "killed" not in up.err


def test_how_a_plugin_ended_is_known_where_whoever_started_us_had_sigchld_ignored(place: Place) -> None:
    code = f"import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv({sys.executable!r}, ["
    words = ", ".join(map(repr, MALBOX))
    argv = (sys.executable, "-c", f"import sys; {code}{words}, *sys.argv[1:]])")
    done = place.run(place.manifest("echo"), place.sample(), argv=argv)
    assert done.code == 0, done.err
    assert done.end["type"] == "completed"
