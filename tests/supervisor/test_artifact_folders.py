"""The folders of a run's artifacts: there while it goes on, and gone after it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from malbox_cli.supervisor.artifact_folders import ARTIFACTS, ArtifactFolders
from plugin_runtime.errors import MalboxError


def eventually(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come to that"
        time.sleep(0.01)


def fill(folder: str) -> Path:
    (Path(folder) / "1").mkdir(parents=True)
    (Path(folder) / "1" / "file").touch()
    return Path(folder)


def test_the_folder_of_a_process_goes_when_it_has_ended_and_all_at_the_end(tmp_path: Path) -> None:
    folders = ArtifactFolders(tmp_path)
    one, two = fill(folders.of("one")), fill(folders.of("two"))
    folders.remove("one")
    folders.remove("never made")
    eventually(lambda: not one.exists())
    assert two.exists()
    folders.close()
    assert not (tmp_path / ARTIFACTS).exists()


def test_what_a_dead_run_left_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    living = ArtifactFolders(tmp_path)
    kept = fill(living.of("one"))
    left = fill(str(tmp_path / ARTIFACTS / "0123"))
    (tmp_path / ARTIFACTS / "link").symlink_to(tmp_path)
    other = ArtifactFolders(tmp_path)
    eventually(lambda: not left.exists())
    other.close()
    assert kept.exists()
    living.close()
    assert [path.name for path in (tmp_path / ARTIFACTS).iterdir()] == ["link"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ARTIFACTS).touch()
    with pytest.raises(MalboxError, match=r"cannot make a folder in .*artifacts: File exists"):
        ArtifactFolders(tmp_path)
    assert os.listdir(tmp_path) == [ARTIFACTS]
