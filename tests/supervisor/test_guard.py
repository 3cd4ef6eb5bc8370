"""The supervisor's end of the guardian."""

import os
import signal
from pathlib import Path

from malbox_cli.supervisor.guard import Guard


def test_a_guardian_that_was_stopped_keeps_no_supervisor_from_ending(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    guard = Guard(tmp_path / "run", "", lock, 1)
    os.kill(guard._process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, guard._process.pid, os.WSTOPPED)

    guard.done()

    assert guard._process.returncode == -signal.SIGKILL
    os.close(lock)


def test_a_guardian_that_was_stopped_is_replaced_before_it_keeps_the_supervisor(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    guard = Guard(tmp_path / "run", "", lock, 1)
    first = guard._process
    os.kill(first.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, first.pid, os.WSTOPPED)

    while guard._process is first:
        guard.spawned(os.getpid())
        guard.reaped(os.getpid())

    assert first.returncode == -signal.SIGKILL
    guard.done()
    assert guard._process.returncode == 0
    os.close(lock)
