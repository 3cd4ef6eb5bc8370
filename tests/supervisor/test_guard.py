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
