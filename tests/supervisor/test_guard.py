"""The supervisor's end of the guardian."""

import os
import signal
import subprocess
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


def test_a_guardian_that_was_killed_is_started_again_and_knows_what_the_first_did(tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    run = tmp_path / "run"
    run.mkdir()
    guard = Guard(run, "", lock, 1)
    plugin = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    try:
        guard.spawned(plugin.pid)
        assert guard.look_after() is False
        first = guard._process
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

        assert guard.look_after() is True
        assert guard.look_after() is False

        second = guard._process
        assert second.stdin is not None
        second.stdin.close()  # as when the supervisor is killed
        assert plugin.wait(20) == -signal.SIGKILL
        assert second.wait(20) == 0
        assert not run.exists()
    finally:
        plugin.kill()
        plugin.wait()
        os.close(lock)
