"""Who supervises a manifest."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from malbox_cli.supervisor import ownership as module
from malbox_cli.supervisor.ownership import (
    FILE,
    AlreadySupervised,
    Owner,
    Ownership,
    find_owner,
    make_state_folder,
)
from plugin_runtime.errors import MalboxError

MANIFEST = Path("/some/plugins.toml")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".malbox"


@contextmanager
def other_owner(state: Path, *, announces: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    program = (
        "import os, sys; from pathlib import Path; from malbox_cli.supervisor.ownership import *\n"
        f"ownership = Ownership.take(Path({str(state)!r}), Path('/m'))\n"
        f"if {announces}: ownership.announce(Owner(os.getpid(), '/s'))\n"
        "print('there', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"there\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_there_is_one_owner_and_others_are_told_which(state: Path) -> None:
    with other_owner(state) as process:
        assert find_owner(state) == Owner(process.pid, "/s")
        with pytest.raises(AlreadySupervised) as caught:
            Ownership.take(state, MANIFEST)
        assert str(caught.value) == (
            f"{MANIFEST} is supervised already, by process {process.pid}: stop it with `malbox down -f {MANIFEST}`"
        )
        assert find_owner(state) == Owner(process.pid, "/s")


def test_an_owner_that_has_not_announced_itself_is_there_all_the_same(state: Path) -> None:
    with other_owner(state, announces=False):
        assert find_owner(state) is None
        with pytest.raises(AlreadySupervised, match="by a process that is just starting or ending"):
            Ownership.take(state, MANIFEST)


def test_a_killed_owner_is_none_and_what_it_wrote_is_never_taken_for_the_next_s(state: Path) -> None:
    with other_owner(state):
        pass
    assert (state / FILE).read_text() != ""
    assert find_owner(state) is None
    ownership = Ownership.take(state, MANIFEST)
    assert find_owner(state) is None  # it has not said where it is yet
    ownership.announce(Owner(5, "/long/path"))
    ownership.announce(Owner(5, "/s"))
    assert find_owner(state) == Owner(5, "/s")
    ownership.release()
    assert find_owner(state) is None


def test_without_a_state_folder_there_is_no_owner(state: Path) -> None:
    assert find_owner(state) is None


def test_who_only_looks_keeps_nobody_from_becoming_the_owner(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_state_folder(state)
    (state / FILE).touch()
    looking = os.open(state / FILE, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        fcntl.flock(looking, fcntl.LOCK_UN)

    monkeypatch.setattr(module.time, "sleep", pause)
    Ownership.take(state, MANIFEST).release()
    assert len(pauses) == 1
    os.close(looking)


@pytest.mark.parametrize("text", [b"garbage", b"[]", b"{}", b'{"pid": 1}', b"\xff"])
def test_a_lock_with_anything_else_in_it_names_nobody(state: Path, text: bytes) -> None:
    with other_owner(state, announces=False):
        (state / FILE).write_bytes(text)
        assert find_owner(state) is None


def test_the_state_folder_is_0700_and_its_lock_0600(state: Path) -> None:
    before = os.umask(0)
    try:
        ownership = Ownership.take(state, MANIFEST)
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    ownership.release()


@pytest.mark.parametrize("content", [[], [FILE, "results"]], ids=["empty", "ours"])
def test_a_state_folder_that_is_open_to_others_is_closed(state: Path, content: list[str]) -> None:
    state.mkdir(parents=True)
    state.chmod(0o755)
    for name in content:
        (state / name).touch()
    make_state_folder(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_folder_that_others_may_need_is_not_closed_but_refused(state: Path) -> None:
    state.mkdir(parents=True)
    state.chmod(0o755)
    (state / "photos").mkdir()
    with pytest.raises(MalboxError, match="is open to other users and has other things than malbox's in it"):
        make_state_folder(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda state: state.parent.mkdir() or state.touch(), "cannot make the state folder .*: File exists"),
        (lambda state: state.parent.touch(), "cannot make the state folder .*: Not a directory"),
        (lambda state: (state / FILE).mkdir(parents=True, mode=0o700), "cannot write .*: Is a directory"),
    ],
    ids=["a file", "below a file", "a folder for a lock"],
)
def test_a_state_folder_that_cannot_be_used_is_told(state: Path, spoil: Callable[[Path], object], why: str) -> None:
    spoil(state)
    with pytest.raises(MalboxError, match=why):
        Ownership.take(state, MANIFEST)


def test_an_owner_without_room_to_say_where_it_is_names_the_file(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ownership = Ownership.take(state, MANIFEST)
    monkeypatch.setattr(os, "pwrite", find_no_room)
    with pytest.raises(MalboxError, match=rf"cannot write {state / FILE}: No space left on device"):
        ownership.announce(Owner(1, "/s"))
    ownership.release()
