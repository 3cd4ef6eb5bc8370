"""What systemd is told, over a real socket."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_manager import ServiceManager

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.service_report import ServiceReport
from malbox_cli.supervisor.service_status import describe, is_up
from malbox_cli.supervisor.systemd import VARIABLES, Systemd, forget_systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify" if request.param == "path" else None) as manager:
        yield manager


class Warnings:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def say(self, level: str, text: str) -> None:
        self.said.append((level, text))


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


@pytest.fixture
def systemd(manager: ServiceManager, warnings: Warnings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    for key, value in manager.environment(watchdog_seconds=20).items():
        monkeypatch.setenv(key, value)
    systemd = Systemd.of_environment(warnings.say)
    yield systemd
    systemd.close()
    assert not warnings.said


def test_it_is_told_how_things_are(manager: ServiceManager, systemd: Systemd) -> None:
    assert systemd.is_there
    systemd.status("1 of 2 plugins READY; yara FAILED: ärgerlich")
    systemd.ready()
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    systemd.extend(1.5)
    systemd.stopping()

    told = manager.read()
    at = int(told.pop(3).removeprefix("MONOTONIC_USEC="))
    assert told == [
        "STATUS=1 of 2 plugins READY; yara FAILED: ärgerlich",
        "READY=1",
        "RELOADING=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1",
    ]
    assert before <= at <= time.monotonic_ns() // 1000


def test_the_watchdog_is_told_twice_in_its_time(manager: ServiceManager, systemd: Systemd) -> None:
    assert systemd.next_beat == 0
    systemd.beat(100.0)
    assert systemd.next_beat == 110.0
    systemd.beat(109.9)
    assert manager.read() == ["WATCHDOG=1"]
    systemd.beat(110.0)
    assert manager.read() == ["WATCHDOG=1"] * 2
    assert systemd.next_beat == 120.0


def test_without_a_watchdog_there_is_nothing_to_beat_for(
    manager: ServiceManager, warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for key, value in manager.environment().items():
        monkeypatch.setenv(key, value)
    systemd = Systemd.of_environment(warnings.say)

    systemd.beat(100.0)

    assert systemd.next_beat == float("inf")
    assert not manager.read()
    systemd.close()


def test_a_message_that_finds_no_room_is_sent_later(manager: ServiceManager, systemd: Systemd) -> None:
    before = 0
    while systemd.next_beat == 0.0 and before < 2000:  # until the queue of the socket is full
        systemd.status(str(before))
        before += 1
        if systemd._waiting:
            break
    systemd.ready()
    systemd.beat(5.0)
    assert systemd.next_beat == pytest.approx(5.05)
    assert "READY=1" not in manager.read()

    systemd.beat(5.05)

    told = manager.read()
    assert told[before - 1 : before + 1] == [f"STATUS={before - 1}", "READY=1"]
    assert systemd.next_beat == pytest.approx(15.0)


def test_a_manager_that_is_gone_is_no_reason_to_fail(manager: ServiceManager, systemd: Systemd) -> None:
    manager.socket.close()

    systemd.ready()
    systemd.status("nobody listens")
    systemd.beat(1.0)

    assert systemd.next_beat == 11.0


def test_where_nobody_is_to_be_told_everything_does_nothing(
    warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd = Systemd.of_environment(warnings.say)

    systemd.ready()
    systemd.status("alone")
    systemd.stopping()
    systemd.beat(1.0)
    systemd.close()

    assert not systemd.is_there
    assert systemd.next_beat == float("inf")
    assert not warnings.said


def test_a_missing_extra_is_one_warning(
    manager: ServiceManager, warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    for module in ("systemd_watchdog", "systemd_watchdog.systemd_watchdog"):
        monkeypatch.setitem(sys.modules, module, None)

    systemd = Systemd.of_environment(warnings.say)

    assert not systemd.is_there
    [(level, text)] = warnings.said
    assert level == "warning"
    assert "pip install 'malbox[systemd]'" in text


def test_an_address_of_another_kind_is_one_warning(warnings: Warnings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")

    assert not Systemd.of_environment(warnings.say).is_there

    assert len(warnings.said) == 1


def test_plugins_get_nothing_of_it() -> None:
    environment = {"PATH": "/bin", "NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1"}

    forget_systemd(environment)

    assert environment == {"PATH": "/bin"}
    assert all(name not in os.environ or name.isupper() for name in VARIABLES)


def plugin(name: str, state: str, reason: str = "so", restarts: int = 0) -> PluginRecord:
    spec = PluginSpec(id=name, name=name, argv=("/bin/true",), cwd=Path("/"))
    record = PluginRecord(spec, PluginState(state), reason)
    record.restarts.count = restarts
    return record


def test_the_text_names_what_is_not_well_and_why() -> None:
    plugins = [
        plugin("a", "READY"),
        plugin("b", "STARTING"),
        plugin("yara", "FAILED", "exited with code 3\nSTOPPING=1"),
        plugin("c", "EXITED", "x" * 1000),
    ]

    text = describe(plugins)

    start = r"1 of 4 plugins READY; yara FAILED: exited with code 3\nSTOPPING=1; c EXITED: "
    assert text == f"{start}{'x' * 160}...; b STARTING"


def test_the_text_stays_short_however_many_there_are() -> None:
    text = describe([plugin(f"p{number}", "STARTING") for number in range(64)])

    assert text == "0 of 64 plugins READY; p0 STARTING; p1 STARTING; p2 STARTING; p3 STARTING; and 60 more"


@pytest.mark.parametrize(
    ("states", "up"),
    [
        (["READY", "READY"], True),
        (["READY", "STARTING"], False),
        (["READY", "PENDING"], False),
        (["READY", "FAILED"], True),
        (["READY", "EXITED", "STOPPED"], True),
        (["EXITED"], True),
        (["DEGRADED"], True),
        (["READY", "BACKOFF", "PENDING"], True),
        (["BACKOFF"], False),
        (["FAILED", "FAILED"], False),
        (["PENDING"], False),
    ],
)
def test_a_service_is_up_when_those_are_that_can_be(states: list[str], up: bool) -> None:
    assert is_up([plugin(f"p{number}", state) for number, state in enumerate(states)]) is up


def test_one_that_failed_before_keeps_nobody_waiting() -> None:
    assert is_up([plugin("a", "READY"), plugin("b", "STARTING", restarts=1), plugin("c", "PENDING")])


def test_a_report_says_what_changed(manager: ServiceManager, systemd: Systemd) -> None:
    machine = Machine(
        [PluginSpec(id="a", name="a", argv=("/bin/true",), cwd=Path("/"))], stop_timeout=1, jitter=lambda: 0.0
    )
    [record] = machine.plugins
    report = ServiceReport(systemd, machine)

    assert 0 < report.turn() <= 5
    assert manager.read() == ["STATUS=0 of 1 plugins READY; a PENDING", "EXTEND_TIMEOUT_USEC=30000000", "WATCHDOG=1"]
    report.turn()
    record.state = PluginState.READY
    assert 5 < report.turn() <= 10
    report.turn()

    assert manager.read()[3:] == ["STATUS=1 of 1 plugins READY", "READY=1"]

    report.reloading()
    record.state = PluginState.STARTING
    report.turn()
    assert manager.read()[5] == "RELOADING=1"
    assert manager.read().count("READY=1") == 1
    record.state = PluginState.READY
    report.turn()
    assert manager.read().count("READY=1") == 2
