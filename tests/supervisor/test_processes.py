"""Processes that cannot be watched, and groups that cannot be signalled."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest
from children_rig import python

from malbox_cli.supervisor import launch, processes
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.launch import Launcher
from malbox_cli.supervisor.processes import Child, SpawnError, subreaper, wait_for_end

NONCE = 0x12345678


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher(NONCE)
    yield launcher
    launcher.close()


def start(launcher: Launcher) -> Child:
    return launcher.spawn(python("import signal; signal.pause()"), os.environ, [])


@pytest.fixture
def child(launcher: Launcher) -> Iterator[Child]:
    child = start(launcher)
    yield child
    child.close()
    os.close(child.output)


@pytest.mark.parametrize("call", ["pipe2", "pidfd_open"])
def test_a_process_that_could_not_be_watched_is_not_left_running(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def no_descriptor(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(launch.os, call, no_descriptor)

    with pytest.raises(SpawnError, match=r"cannot start .*: Too many open files"):
        start(launcher)


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


def test_what_a_process_had_of_the_processors_is_known_when_it_is_reaped(launcher: Launcher) -> None:
    child = launcher.spawn(python("while __import__('time').process_time() < 0.2: pass"), os.environ, [])
    wait_for_end([child.pid], 20)
    assert child.reap() == ExitStatus(0, None)
    assert child.cpu_seconds >= 0.2
    child.close()
    os.close(child.output)


def test_a_process_is_a_subreaper_for_a_while_only() -> None:
    with subreaper():
        pid = os.posix_spawn(sys.executable, [sys.executable, "-ISc", "import os; os.fork()"], os.environ)
        os.waitpid(pid, 0)
        adopted, status = os.waitpid(-1, 0)
    assert adopted != pid
    assert status == 0
