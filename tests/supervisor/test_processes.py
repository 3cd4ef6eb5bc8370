"""Processes that cannot be watched, and groups that cannot be signalled."""

import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor import processes
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.processes import Child, SpawnError, spawn

SLEEPER = PluginSpec(
    id="sleeper", name="sleeper", argv=(sys.executable, "-c", "import signal; signal.pause()"), cwd=Path("/")
)


def start() -> Child:
    return spawn(SLEEPER, {}, resource.getrlimit(resource.RLIMIT_NOFILE))


@pytest.fixture
def child() -> Iterator[Child]:
    child = start()
    yield child
    child.close()
    os.close(child.output)


@pytest.mark.parametrize("call", ["pipe2", "pidfd_open"])
def test_a_process_that_could_not_be_watched_is_not_left_running(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def no_descriptor(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(processes.os, call, no_descriptor)

    with pytest.raises(SpawnError, match=r"cannot start .*: Too many open files"):
        start()


def test_a_group_is_killed_while_its_number_is_still_its_own(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(child.pid, signal.SIGTERM)
    killpg = os.killpg
    groups: list[int] = []

    def find_its_leader_and_kill(group: int, number: int) -> None:
        os.waitid(os.P_PID, group, os.WEXITED | os.WNOWAIT)  # raises where it was reaped before
        groups.append(group)
        killpg(group, number)

    monkeypatch.setattr(processes.os, "killpg", find_its_leader_and_kill)

    assert child.reap() == ExitStatus(None, signal.SIGTERM)
    assert groups == [child.pid]


def test_a_group_that_has_become_another_users_is_no_error(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_permitted(*_: object) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(processes.os, "killpg", not_permitted)
        child.signal(signal.SIGTERM)
    child.signal(signal.SIGKILL)

    assert child.reap() == ExitStatus(None, signal.SIGKILL)
