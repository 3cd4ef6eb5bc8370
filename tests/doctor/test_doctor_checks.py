"""What follows from the numbers of a machine."""

import pytest

from malbox_cli.doctor.checks import (
    Status,
    check_descriptors,
    check_machine,
    check_python,
    check_releases,
    check_room,
    check_shared_memory,
    file_system_of,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("system", "machine", "status"),
    [("Linux", "x86_64", Status.OK), ("Linux", "aarch64", Status.PROBLEM), ("Darwin", "x86_64", Status.PROBLEM)],
)
def test_the_machine(system: str, machine: str, status: Status) -> None:
    assert check_machine(system, machine, "6.1").status is status


@pytest.mark.parametrize(("version", "status"), [((3, 10, 9), Status.PROBLEM), ((3, 11, 0), Status.OK)])
def test_python(version: tuple[int, ...], status: Status) -> None:
    check = check_python(version)

    assert check.status is status
    assert ".".join(map(str, version)) in check.message


@pytest.mark.parametrize(
    ("kind", "free", "status"),
    [
        ("tmpfs", 64, Status.OK),
        ("tmpfs", 5, Status.NOTE),
        ("tmpfs", 2, Status.PROBLEM),
        ("ext4", 64, Status.PROBLEM),
        ("", 64, Status.PROBLEM),
    ],
)
def test_shared_memory(kind: str, free: int, status: Status) -> None:
    check = check_shared_memory(kind, 64 * MIB, free * MIB, 3 * MIB, 2)

    assert check.status is status
    assert bool(check.fix) is (status is not Status.OK)


@pytest.mark.parametrize(("hard", "status"), [(None, Status.OK), (400, Status.OK), (399, Status.PROBLEM)])
def test_descriptors(hard: int | None, status: Status) -> None:
    check = check_descriptors(hard, 400, 4)

    assert check.status is status
    assert "400" in check.fix or status is Status.OK


@pytest.mark.parametrize(
    ("free", "status"), [(10 * MIB, Status.PROBLEM), (500 * MIB, Status.NOTE), (5000 * MIB, Status.OK)]
)
def test_room(free: int, status: Status) -> None:
    assert check_room(free, "/state").status is status


def test_a_plugin_with_another_release_is_named() -> None:
    check = check_releases("0.10.0", [("yara", "0.9.1"), ("echo", "0.10.0")])

    assert check.status is Status.PROBLEM
    assert "yara has 0.9.1" in check.message
    assert "echo" not in check.message
    assert "iceoryx2==0.10.0" in check.fix


def test_plugins_with_our_release_or_none_are_fine() -> None:
    assert check_releases("0.10.0", [("echo", "0.10.0")]).status is Status.OK
    assert check_releases("0.10.0", []).status is Status.OK


def test_the_file_system_of_a_place_is_the_one_that_was_mounted_last() -> None:
    mounts = "none / ext4 rw 0 0\nnone /dev/shm tmpfs rw 0 0\nnone /dev/shm ext4 rw 0 0\nnone /dev/shmx ramfs rw 0 0\n"

    assert file_system_of(mounts, "/dev/shm") == "ext4"
    assert file_system_of(mounts, "/nowhere") == ""


def test_what_is_shown_as_json() -> None:
    assert check_python((3, 10, 1)).as_json_object() == {
        "name": "python",
        "status": "PROBLEM",
        "message": "Python 3.10.1 is too old",
        "fix": "install malbox for Python 3.11 or newer",
    }
