"""The code in the guide for programs runs as it stands."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_harness import REPOSITORY

from malbox_cli.client import running

GUIDE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SECONDS = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a manifest, whose supervisor has done a task and runs."""
    folder = tmp_path_factory.mktemp("guide")
    plugin = REPOSITORY / "examples" / "plugins" / "file-info"
    (folder / "plugins.toml").write_text(f'[plugins.file-info]\npath = "{plugin}"\n')
    with running(folder / "plugins.toml", timeout=SECONDS) as malbox:
        malbox.submit("file-info", "/bin/ls").wait()
        yield folder


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_there_is_code() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs_beside_a_supervisor(folder: Path, number: int) -> None:
    assert run(BLOCKS[number], folder).strip()


@pytest.mark.parametrize("number", [number for number, block in enumerate(BLOCKS) if "running" in block])
def test_a_block_that_needs_no_supervisor_starts_its_own(tmp_path: Path, number: int) -> None:
    plugin = REPOSITORY / "examples" / "plugins" / "file-info"
    (tmp_path / "plugins.toml").write_text(f'[plugins.file-info]\npath = "{plugin}"\n')
    assert run(BLOCKS[number], tmp_path).strip()
