"""No space for the ledger: what is new is refused with the reason, what was taken waits, and nothing is lost."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from e2e_harness import Place, eventually
from ledger_rig import MAKES, Job, check_results, check_whole, ended, owner_of, reading, rows, submit, waiting

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Submitting
from malbox_cli.control.records import Accepted, Ended, Refused
from malbox_cli.store.task_states import TaskState

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, which only root may"),
]


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """Return the state folder, which is a file system of its own with room for a few results."""
    folder = place.folder / ".malbox"
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield folder
    finally:
        place.close()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that a file system has; return the file to remove."""
    file = folder / "fills-the-disk"
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    return file


def test_what_is_new_is_refused_and_what_was_taken_goes_on_once_there_is_room(place: Place, small_disk: Path) -> None:
    manifest = place.manifest(makes=MAKES)
    sample = place.sample()
    first: list[object] = []
    with place.up(manifest) as up:
        tasks = waiting(place, manifest, "makes", 2, {"began": str(place.folder / "began")})
        eventually((place.folder / "began").exists, "the first one runs")
        filler = fill(small_disk)

        def send_first() -> None:
            with ControlClient(owner_of(manifest), None) as client:
                first.extend(client.submit(Submitting("makes", str(sample), Job("first", json=1).config)))

        sender = threading.Thread(target=send_first, name="sends-first")
        sender.start()
        up.wait_for("there is no space left on its disk")
        with ControlClient(owner_of(manifest)) as client:
            refused = submit(client, Submitting("makes", str(sample)))
            assert isinstance(refused, Refused)
            assert "the ledger cannot be written to, so that no task is taken" in refused.error
            assert "there is no space left on its disk" in refused.error
        (place.folder / "until").touch()  # the one that runs is done now, and nobody can be told
        done = place.malbox("send-task", "-f", manifest, "makes", sample)
        assert done.code == 1, done
        assert "no space left" in done.out + done.err
        assert not first
        filler.unlink()
        sender.join(20)
        assert [type(record) for record in first if isinstance(record, Accepted | Ended)] == [Accepted, Ended]
        found = ended(manifest, tasks)
        done = place.send(manifest, "makes", sample)
        assert done.code == 0, done
    assert {row.state for row in rows(manifest).values()} == {TaskState.COMPLETED}
    assert len(rows(manifest)) == 4
    with reading(manifest) as reader:
        for number, row in enumerate(found):
            check_results(reader, row, Job(f"makes-{number}", json=1))
    check_whole(place, manifest)


def test_a_result_for_which_there_is_no_room_fails_its_task_with_the_reason(place: Place, small_disk: Path) -> None:
    manifest = place.manifest(makes=MAKES)
    with place.up(manifest):
        done = place.send(manifest, "makes", place.sample(), "--set", "json=1", "--set", f"sizes={8 << 20}")
        assert done.code == 1, done
        assert "could not be stored" in done.end["error"]
        assert "No space left on device" in done.end["error"]
        done = place.send(manifest, "makes", place.sample(), "--set", "sizes=20000")
        assert done.code == 0, done
    states = [row.state for _, row in sorted(rows(manifest).items())]
    assert states == [TaskState.FAILED, TaskState.COMPLETED]
    assert not list((small_disk / "objects" / "tmp").iterdir())
    check_whole(place, manifest)


def test_a_supervisor_that_ends_while_there_is_no_room_loses_no_task(place: Place, small_disk: Path) -> None:
    manifest = place.manifest(makes=MAKES)
    up = place.start_up(manifest)
    tasks = waiting(place, manifest, "makes", 3, {"began": str(place.folder / "began")})
    eventually((place.folder / "began").exists, "the first one runs")
    filler = fill(small_disk)
    (place.folder / "until").touch()
    down = place.malbox("down", "-f", manifest, patience=30)
    assert down.code == 0, down
    ended_so = up.wait(20)
    assert "Traceback" not in ended_so.err
    assert "the ledger" in ended_so.err, ended_so
    refused = place.malbox("up", "-f", manifest)
    assert refused.code == 1, refused
    assert len(refused.err.splitlines()) == 1, refused
    filler.unlink()
    with place.up(manifest):
        found = ended(manifest, tasks)
    assert [row.state for row in found] == [TaskState.COMPLETED] * 3
    with reading(manifest) as reader:
        for number, row in enumerate(found):
            check_results(reader, row, Job(f"makes-{number}", json=1))
    check_whole(place, manifest)
