"""No space in shared memory: a message, where a write would end in SIGBUS."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable

import pytest
from e2e_harness import Done, Place

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small /dev/shm, which only root may"),
]

Inside = Callable[..., Done]


@pytest.fixture
def inside(place: Place) -> Inside:
    """Return what runs malbox with a /dev/shm of its own, of a size in KiB."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    probe = [unshare, "-m", "sh", "-c", "mount -t tmpfs -o size=64k none /dev/shm"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")

    def run(kibibytes: int, *arguments: object) -> Done:
        command = shlex.join([*place.argv, *map(str, arguments)])
        script = (
            f"mount -t tmpfs -o size={kibibytes}k none /dev/shm; "
            f"{command}; code=$?; ls /dev/shm > {place.folder}/left; exit $code"
        )
        return place.malbox(argv=[unshare, "-m", "sh", "-c", script])

    return run


def left(place: Place) -> str:
    return (place.folder / "left").read_text()


@pytest.mark.parametrize("kibibytes", [16, 512, 1450, 1700, 3000])
def test_a_start_without_room_says_so(place: Place, inside: Inside, kibibytes: int) -> None:
    done = inside(kibibytes, "run", "-f", place.manifest("echo", "raises"), place.sample())

    assert done.code == 1, done
    assert "no space in shared memory: /dev/shm has" in done.err, done
    assert "SIGBUS" not in done.out + done.err
    assert len(done.err.splitlines()) == 1
    assert left(place) == ""


def test_a_push_that_finds_no_room_fails_the_task_with_the_reason(place: Place, inside: Inside) -> None:
    manifest = place.manifest("echo")

    # The services of one plugin take 1.5 MiB; a chunk takes one more, and a little has to stay free.
    done = inside(2500, "run", "-f", manifest, "--json", place.sample(), "--set", f"sizes=1,{100 << 20}")

    assert done.code == 1, done
    assert done.end["type"] == "failed"
    assert done.end["partial"] is True
    assert "SharedMemoryFull: no space in shared memory" in done.end["error"]
    assert [record["size"] for record in done.of("result")] == [1]
    assert left(place) == ""


def test_room_that_goes_while_a_plugin_works_fails_the_task_and_not_the_plugin(place: Place, inside: Inside) -> None:
    manifest = place.manifest("fills_shared_memory")

    done = inside(64 << 10, "run", "-f", manifest, "--json", place.sample(), place.sample(name="second"))

    assert done.code == 1, done
    ends = [record for record in done.records if record["type"] in ("completed", "failed")]
    assert [end["type"] for end in ends] == ["failed", "completed"]
    assert "no space in shared memory" in ends[0]["error"]
    assert left(place) == ""
