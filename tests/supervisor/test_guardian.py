"""What cleans up where a supervisor is killed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from malbox_cli.supervisor import guardian
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.run_folder import LOCK, RunFolder, RunPlan
from malbox_cli.supervisor.strays import to_mark

SHARED_MEMORY = Path("/dev/shm")
SLEEPER = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"


def wait_until(condition: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, f"still not: {what}"
        time.sleep(0.005)


@dataclass
class Run:
    """A run's folder, a file of its shared memory, and plugins that do not end by themselves."""

    folder: RunFolder
    shared: Path
    plugins: list[subprocess.Popen[bytes]]

    def plugin(self, code: str = SLEEPER, *, leads: bool = True, **variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            start_new_session=leads,
            env={**os.environ, **variables},
        )
        self.plugins.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    def is_gone(self) -> bool:
        return not self.folder.path.exists() and not self.shared.exists()


@pytest.fixture
def run(runtime_folder: Path) -> Iterator[Run]:
    folder = RunPlan.of(runtime_folder / "plugins.toml", None).make()
    shared = SHARED_MEMORY / f"{folder.domain.prefix}x"
    shared.touch()
    (folder.path / "shm" / "nodes").mkdir()
    run = Run(folder, shared, [])
    yield run
    for process in run.plugins:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    folder.remove()


@pytest.fixture
def guard(run: Run) -> Iterator[Guard]:
    guard = Guard(run.folder.path, run.folder.domain.prefix, run.folder.nonce)
    guard.locked(run.folder.lock)
    yield guard
    guard.done()


def die(guard: Guard) -> subprocess.Popen[bytes]:
    """Let the guardian see what it sees when the supervisor is killed; return its process."""
    guard._channel.close()
    return guard._process


def test_a_supervisor_that_is_done_leaves_everything_to_itself(run: Run, guard: Guard) -> None:
    plugin = run.plugin()
    guard.spawned(plugin.pid)
    guard.done()
    assert guard._process.returncode == 0
    assert plugin.poll() is None
    assert run.shared.exists()
    assert run.folder.path.exists()


def test_a_killed_supervisor_s_plugins_folder_and_shared_memory_go(run: Run, guard: Guard) -> None:
    first, second = run.plugin(), run.plugin()
    guard.spawned(first.pid)
    guard.spawned(second.pid)
    assert die(guard).wait(20) == 0
    assert (first.wait(), second.wait()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert run.is_gone()
    assert not run.folder.path.parent.exists()


def test_the_folder_of_all_runs_stays_where_another_run_is_in_it(run: Run, guard: Guard) -> None:
    other = RunPlan.of(run.folder.path / "plugins.toml", None).make()
    assert die(guard).wait(20) == 0
    assert run.is_gone()
    assert other.socket.parent.exists()
    other.remove()


def test_nobody_waits_for_plugins_that_end_by_themselves(run: Run) -> None:
    plugin = run.plugin()
    pidfd = os.pidfd_open(plugin.pid)
    plugin.kill()
    guardian.wait_for([pidfd], 600)  # returns at once, or long after this test was given up
    assert plugin.wait() == -signal.SIGKILL
    os.close(pidfd)


def test_what_a_plugin_has_in_its_group_ends_with_it(run: Run, guard: Guard) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    code = f"import os, sys; os.fork() or [print('up', flush=True), __import__('signal').pause()]; {SLEEPER}"
    leader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True, pass_fds=(writer,)
    )
    run.plugins.append(leader)
    os.close(writer)
    assert leader.stdout is not None
    # Each of the two writes its word and its newline by themselves.
    assert sorted(leader.stdout.readline() + leader.stdout.readline()) == sorted(b"up\nup\n")
    guard.spawned(leader.pid)
    leader.kill()  # it is not reaped yet: the guardian may not have heard of it
    die(guard).wait(20)
    assert os.read(reader, 1) == b""  # nobody has the other end any more
    os.close(reader)


def test_what_a_plugin_started_in_a_session_of_its_own_ends_too(run: Run, guard: Guard) -> None:
    stray = run.plugin(MALBOX_SUPERVISOR_PID=str(os.getpid()))
    other = run.plugin(MALBOX_SUPERVISOR_PID=f"{os.getpid()}0")
    die(guard).wait(20)
    assert stray.wait() == -signal.SIGKILL
    assert other.poll() is None


def test_what_has_the_run_s_mark_ends_whatever_its_environment_says(run: Run, guard: Guard) -> None:
    mark = "import resource; resource.setrlimit(10, ({}, resource.getrlimit(10)[1]));"
    stray = run.plugin(mark.format(to_mark(run.folder.nonce, 3)) + SLEEPER)
    other = run.plugin(mark.format(to_mark(run.folder.nonce ^ 1, 3)) + SLEEPER)
    die(guard).wait(20)
    assert stray.wait() == -signal.SIGKILL
    assert other.poll() is None


def test_a_plugin_that_was_reaped_is_left_alone(run: Run, guard: Guard) -> None:
    reaped, running = run.plugin(), run.plugin()
    guard.spawned(reaped.pid)
    guard.spawned(running.pid)
    guard.reaped(reaped.pid)
    die(guard).wait(20)
    assert running.wait() == -signal.SIGKILL
    assert reaped.poll() is None


def test_a_plugin_that_ended_before_the_guardian_heard_of_it_is_no_error(run: Run, guard: Guard) -> None:
    plugin = run.plugin()
    plugin.kill()
    plugin.wait()
    guard.spawned(plugin.pid)
    assert die(guard).wait(20) == 0
    assert run.is_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_guardian_is_not_stopped_by_what_stops_a_supervisor(run: Run, guard: Guard, number: int) -> None:
    plugin = run.plugin()
    guard.spawned(plugin.pid)
    status = Path(f"/proc/{guard._process.pid}/status")
    wait_until(lambda: ignored(status) >> (number - 1) & 1, "the signal is ignored")
    guard._process.send_signal(number)
    die(guard).wait(20)
    assert plugin.wait() == -signal.SIGKILL


def ignored(status: Path) -> int:
    (mask,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigIgn")]
    return int(mask, 16)


def test_a_killed_guardian_is_started_again_and_knows_everything(run: Run, guard: Guard) -> None:
    first, reaped, second = run.plugin(), run.plugin(), run.plugin()
    guard.spawned(first.pid)
    guard.spawned(reaped.pid)
    guard.reaped(reaped.pid)
    killed = guard._process
    killed.kill()
    wait_until(lambda: Path(f"/proc/{killed.pid}/stat").read_text().split()[2] == "Z", "the guardian is dead")
    guard.spawned(second.pid)
    assert guard._process.pid != killed.pid
    assert killed.returncode == -signal.SIGKILL
    die(guard).wait(20)
    assert (first.wait(), second.wait()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert reaped.poll() is None
    assert run.is_gone()


def test_a_killed_guardian_is_no_matter_at_the_end(run: Run, guard: Guard) -> None:
    guard._process.kill()
    guard.done()
    assert run.folder.path.exists()


def test_without_a_guardian_the_supervisor_goes_on(run: Run, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    guard._process.kill()
    guard._process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/program")
        guard.spawned(os.getpid())
        guard.reaped(os.getpid())
    plugin = run.plugin()
    guard.spawned(plugin.pid)  # now it can be started again
    die(guard).wait(20)
    assert plugin.wait() == -signal.SIGKILL


def test_the_lock_is_held_until_everything_is_cleaned_up(run: Run, guard: Guard) -> None:
    plugin = run.plugin()
    guard.spawned(plugin.pid)
    looking = os.open(run.folder.path / LOCK, os.O_RDWR)
    fcntl.flock(run.folder.lock, fcntl.LOCK_EX)  # the guardian has the very same lock
    process = die(guard)
    with pytest.raises(BlockingIOError):
        fcntl.flock(looking, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.wait(20)
    assert run.is_gone()
    os.close(looking)


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[tuple[Path, Guard]]:
    """A run's folder that was not made yet, and its guardian."""
    folder = tmp_path / "runs" / "run"
    folder.parent.mkdir()
    guard = Guard(folder, "", 1)
    yield folder, guard
    guard.done()


def test_a_supervisor_that_was_killed_before_it_made_anything_leaves_nothing(planned: tuple[Path, Guard]) -> None:
    folder, guard = planned
    assert die(guard).wait(20) == 0
    assert not folder.parent.exists()


def test_a_folder_that_has_no_lock_yet_goes(planned: tuple[Path, Guard]) -> None:
    folder, guard = planned
    folder.mkdir()
    assert die(guard).wait(20) == 0
    assert not folder.parent.exists()


def test_a_folder_whose_lock_was_not_handed_over_goes(planned: tuple[Path, Guard]) -> None:
    folder, guard = planned
    (folder / "shm").mkdir(parents=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = die(guard)
    os.close(lock)  # the kernel lets go of it a little later, perhaps
    assert process.wait(20) == 0
    assert not folder.parent.exists()


def test_a_folder_that_another_run_holds_stays(planned: tuple[Path, Guard]) -> None:
    folder, guard = planned
    (folder / "shm").mkdir(parents=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert die(guard).wait(20) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([LOCK, "shm"])
    os.close(lock)


def test_iceoryx2_s_own_domain_is_left_alone(run: Run) -> None:
    guard = Guard(run.folder.path, "", run.folder.nonce)
    guard.locked(run.folder.lock)
    die(guard).wait(20)
    assert run.shared.exists()
    assert not run.folder.path.exists()
    guard.done()


def test_a_folder_with_an_odd_name_is_removed(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff name"))
    (folder / "shm").mkdir(parents=True)
    (folder / LOCK).touch()
    target = tmp_path / "target"
    target.mkdir()
    (folder / "link").symlink_to(target)
    lock = os.open(folder / LOCK, os.O_RDWR)
    guard = Guard(folder, "", 1)
    guard.locked(lock)
    die(guard).wait(20)
    guard.done()
    os.close(lock)
    assert not folder.exists()
    assert target.exists()
