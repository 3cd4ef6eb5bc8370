"""A control server for a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_rig import Supervisor


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.chdir(tmp_path)  # a socket's path has 108 bytes
    supervisor = Supervisor(Path("s"))
    yield supervisor
    supervisor.close()
    assert not Path("s").exists()
