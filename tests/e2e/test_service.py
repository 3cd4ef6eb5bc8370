"""`malbox up` as a service, with a socket in systemd's place."""

import json
import signal
from pathlib import Path

import psutil
import pytest
from e2e_harness import Place, eventually, is_stopped
from service_manager import ServiceManager

OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_service_says_that_it_starts_is_there_and_stops(place: Place, tmp_path: Path, kind: str) -> None:
    manifest = place.manifest("echo", "exits_before_ready")
    with ServiceManager(tmp_path / "notify" if kind == "path" else None) as manager:
        up = place.start("up", "-f", manifest, env=manager.environment(watchdog_seconds=0.5))

        eventually(lambda: "READY=1" in manager.read(), "is READY")
        eventually(lambda: manager.read().count("WATCHDOG=1") >= 3, "beats")
        status = next(line for line in reversed(manager.read()) if line.startswith("STATUS="))
        assert status.startswith("STATUS=1 of 2 plugins READY; exits_before_ready FAILED: exited with code")
        assert "STOPPING=1" not in manager.read()
        up.signal(signal.SIGTERM)

        assert up.wait().code == 143
        told = manager.read()
        assert told.index("STOPPING=1") > told.index("READY=1")
        assert told.count("READY=1") == 1
        assert [line for line in told[told.index("STOPPING=1") :] if line.startswith("EXTEND_TIMEOUT_USEC=")]


def test_nobody_that_a_service_starts_can_speak_for_it(place: Place) -> None:
    manifest = place.manifest("echo")
    with ServiceManager(None) as manager, place.up(manifest, env=manager.environment(60)) as up:
        everybody = psutil.Process(up.pid).children(recursive=True)
        assert len(everybody) >= 2
        for process in everybody:
            assert not [name for name in OURS if name in process.environ()]


def test_a_supervisor_that_stands_still_beats_no_more(place: Place) -> None:
    manifest = place.manifest("echo")
    with ServiceManager(None) as manager, place.up(manifest, env=manager.environment(0.2)) as up:
        eventually(lambda: manager.read().count("WATCHDOG=1") >= 2, "beats")
        up.signal(signal.SIGSTOP)
        eventually(lambda: is_stopped(up.pid), "stands still")
        count = manager.read().count("WATCHDOG=1")

        with pytest.raises(AssertionError):
            eventually(lambda: manager.read().count("WATCHDOG=1") > count, "beats", patience=0.6)

        up.signal(signal.SIGCONT)
        eventually(lambda: manager.read().count("WATCHDOG=1") > count, "beats again")


def test_a_reload_is_over_when_what_is_new_is_ready(place: Place) -> None:
    with ServiceManager(None) as manager, place.up(place.manifest("echo"), env=manager.environment()):
        eventually(lambda: "READY=1" in manager.read(), "is READY")

        assert place.malbox("reload", "-f", place.manifest("echo", "raises")).code == 0

        eventually(lambda: manager.read().count("READY=1") == 2, "is READY again")
        told = manager.read()
        [reloading] = [index for index, line in enumerate(told) if line == "RELOADING=1"]
        assert told[reloading + 1].startswith("MONOTONIC_USEC=")
        [*_, status, ready] = told[reloading:]
        assert (status, ready) == ("STATUS=2 of 2 plugins READY", "READY=1")


def test_a_service_of_which_no_plugin_can_be_started_was_never_up(place: Place) -> None:
    with ServiceManager(None) as manager:
        done = place.malbox("up", "-f", place.manifest("exits_before_ready"), env=manager.environment())

        assert done.code == 1
        assert "READY=1" not in manager.read()


def test_a_service_without_the_extra_says_so_and_works(place: Place) -> None:
    manifest = place.manifest("echo")
    missing = place.folder / "missing" / "systemd_watchdog"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError('not here')\n")
    with ServiceManager(None) as manager:
        environment = {**manager.environment(), "PYTHONPATH": str(missing.parent)}
        with place.up(manifest, env=environment) as up:
            assert up.err.count("malbox[systemd]") == 1
            assert json.loads(place.malbox("status", "-f", manifest, "--json").out)["plugins"][0]["state"] == "READY"
        assert not manager.read()
