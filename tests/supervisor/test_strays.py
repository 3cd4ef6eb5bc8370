"""Finding processes by their mark, wherever they are."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from malbox_cli.supervisor import strays
from malbox_cli.supervisor.strays import (
    RLIMIT_LOCKS,
    end_strays,
    has_variable,
    mark_of,
    nonce_in,
    own_children,
    stat_of,
    to_mark,
)

NONCE = 0xDEADBEEF


@contextmanager
def sleeper(mark: int | None = None, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a process that waits, perhaps with a mark, during a block."""
    begin = "" if mark is None else f"import resource; resource.setrlimit(10, ({mark}, resource.getrlimit(10)[1]))"
    process = subprocess.Popen(
        [sys.executable, "-ISc", f"{begin}\nimport signal; print('up', flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
        env=variables,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"up\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_marked(pid: int) -> bool:
    return nonce_in(mark_of(pid)) == NONCE


def test_a_mark_holds_a_nonce_and_a_number() -> None:
    assert nonce_in(to_mark(NONCE, 1)) == NONCE
    assert to_mark(NONCE, 1) != to_mark(NONCE, 2)
    assert to_mark(NONCE, 1 << 24) == to_mark(NONCE, 0)


def test_a_mark_is_seen_of_the_living_and_of_zombies_and_of_nobody_else() -> None:
    with sleeper(to_mark(NONCE, 7)) as marked, sleeper() as other:
        assert mark_of(marked.pid) == to_mark(NONCE, 7)
        assert nonce_in(mark_of(other.pid)) is None
        marked.kill()
        os.waitid(os.P_PID, marked.pid, os.WEXITED | os.WNOWAIT)
        assert mark_of(marked.pid) == to_mark(NONCE, 7)
        assert (stat_of(marked.pid) or "")[0] == "Z"
    assert mark_of(marked.pid) is None
    assert stat_of(marked.pid) is None


def test_a_variable_is_found_whole() -> None:
    with sleeper(NAME="value") as process:
        assert has_variable(process.pid, "NAME=value")
        assert not has_variable(process.pid, "NAME=val")
        assert not has_variable(process.pid, "AME=value")
    assert not has_variable(process.pid, "NAME=value")


def test_all_with_the_mark_are_ended_and_nobody_else() -> None:
    with (
        sleeper(to_mark(NONCE, 1)) as first,
        sleeper(to_mark(NONCE, 9)) as second,
        sleeper(to_mark(NONCE - 1, 1)) as other,
    ):
        assert end_strays(is_marked, 20) == 2
        assert (first.wait(), second.wait()) == (-signal.SIGKILL, -signal.SIGKILL)
        assert other.poll() is None
        assert end_strays(is_marked, 20) == 0


def test_nobody_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "_processes", lambda: [os.getpid()])
    assert end_strays(lambda _: True, 1) == 0


def test_children_are_found_without_the_files_that_name_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with sleeper() as process:
        found = own_children()
        assert process.pid in found
        monkeypatch.setattr(strays.os.path, "exists", lambda _: False)
        assert set(own_children()) == set(found)
    assert process.pid not in own_children()


def test_the_limit_is_one_that_can_be_set_and_read_here() -> None:
    with sleeper(5) as process:
        assert resource.prlimit(process.pid, RLIMIT_LOCKS)[0] == 5


def test_no_children_are_found_where_no_descriptor_is_left() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            found = strays.own_children()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert found == []
        assert child.pid in strays.own_children()
        child.kill()
