"""The supervisor's end of the guardian."""

import os
import signal
import subprocess
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


def test_a_guardian_that_was_killed_is_started_again_and_knows_what_the_first_did(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    guard = Guard(run, "", 1)
    plugin = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    lock = os.open(run, os.O_RDONLY)
    try:
        guard.locked(lock)
        guard.spawned(plugin.pid)
        assert guard.look_after() is False
        first = guard._process
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

        assert guard.look_after() is True
        assert guard.look_after() is False

        guard._channel.close()  # as when the supervisor is killed
        assert plugin.wait(20) == -signal.SIGKILL
        assert guard._process.wait(20) == 0
        assert not run.exists()
    finally:
        os.close(lock)
        plugin.kill()
        plugin.wait()
