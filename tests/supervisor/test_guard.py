"""The supervisor's end of the guardian."""

import os
import signal
from pathlib import Path

from malbox_cli.supervisor.guard import Guard

MORE_THAN_A_SOCKET_TAKES = 5000


def stop(guard: Guard) -> int:
    pid = guard._process.pid
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    return pid


def test_a_guardian_that_was_stopped_keeps_no_supervisor_from_ending(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "run", "", 1)
    stop(guard)

    guard.done()

    assert guard._process.returncode == -signal.SIGKILL


def test_a_guardian_that_does_not_listen_holds_nobody_up_and_is_replaced(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "run", "", 1)
    stopped = stop(guard)

    for _ in range(MORE_THAN_A_SOCKET_TAKES):
        guard.reaped(1 << 22)  # no process has this number

    assert guard._process.pid != stopped
    guard.done()
    assert guard._process.returncode == 0
