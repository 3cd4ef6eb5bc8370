"""A run's folder: its lock, its shared memory, and what dead runs leave."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from malbox_cli.supervisor import run_folder as module
from malbox_cli.supervisor.run_folder import LOCK, RunPlan, base_folder, prefix_of, remove_leftovers
from plugin_runtime.errors import MalboxError
from plugin_runtime.ports.domain import MAX_ROOT_AND_PREFIX

MANIFEST = Path("/some/plugins.toml")
SHARED_MEMORY = Path("/dev/shm")
IMPORTS = "import sys; from pathlib import Path; from malbox_cli.supervisor.run_folder import *"


@pytest.fixture
def base(runtime_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs of this test alone."""
    folder = runtime_folder.parent / "b"
    monkeypatch.setenv("MALBOX_RUNTIME_DIR", str(folder))
    yield folder
    if folder.exists():
        folder.rmdir()


@contextmanager
def other_process(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python code that imports RunPlan, until it has printed a line; it waits for its standard input then."""
    program = f"{IMPORTS}; {code}; print('there', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
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


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def test_a_run_has_a_folder_a_root_and_a_prefix_of_its_own(base: Path) -> None:
    first, second = RunPlan.of(MANIFEST, None).make(), RunPlan.of(MANIFEST, None).make()
    assert first.path.parent == second.path.parent == base
    assert first.path != second.path
    assert first.domain.prefix != second.domain.prefix
    for run in (first, second):
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(run.domain.root).stat().st_mode) == 0o700
        assert Path(run.domain.root).parent == run.path
        assert run.socket.parent == run.path
        run.remove()
    assert not base.exists()


def test_what_a_run_has_in_shared_memory_goes_with_its_folder(base: Path) -> None:
    run = RunPlan.of(MANIFEST, None).make()
    ours, other = SHARED_MEMORY / f"{run.domain.prefix}x", SHARED_MEMORY / f"{prefix_of(base / 'other')}x"
    ours.touch()
    other.touch()
    run.remove()
    assert not ours.exists()
    assert other.exists()
    other.unlink()


def test_the_same_name_in_another_folder_has_another_prefix() -> None:
    assert prefix_of(Path("/a/lab")) != prefix_of(Path("/b/lab"))


def test_the_default_domain_is_iceoryx2_s_own_and_there_is_one_at_a_time(base: Path) -> None:
    run = RunPlan.of(MANIFEST, "default").make()
    assert run.domain.is_default
    with pytest.raises(MalboxError, match=rf"another supervisor runs in the domain 'default': process {os.getpid()}"):
        RunPlan.of(MANIFEST, "default").make()
    run.remove()
    RunPlan.of(MANIFEST, "default").make().remove()
    assert not base.exists()


def test_a_named_domain_that_is_taken_is_told_at_once_with_the_process_that_has_it(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLAIM_SECONDS", 60.0)
    with other_process("run = RunPlan.of(Path('/m'), 'lab').make()") as process:
        started = time.monotonic()
        with pytest.raises(MalboxError, match=rf"another supervisor runs in the domain 'lab': process {process.pid}$"):
            RunPlan.of(MANIFEST, "lab").make()
        assert time.monotonic() - started < 20
    RunPlan.of(MANIFEST, "lab").make().remove()
    assert not base.exists()


def test_a_named_domain_waits_for_the_guardian_of_a_dead_run(base: Path) -> None:
    # The lock is held by a living process, which is not the one that is named in it.
    with other_process("run = RunPlan.of(Path('/m'), 'lab').make()") as process:
        file = base / "lab" / LOCK
        dead = subprocess.Popen([sys.executable, "-c", ""])
        wait_until(lambda: Path(f"/proc/{dead.pid}/stat").read_text().split()[2] == "Z")  # not reaped: still a pid
        file.write_text(f"{dead.pid}\n")
        waiting = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"{IMPORTS}; run = RunPlan.of(Path('/m'), 'lab').make(); print('mine'); run.remove()",
            ],
            stdout=subprocess.PIPE,
        )
        assert waiting.stdout is not None
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        process.kill()
        assert waiting.stdout.readline() == b"mine\n"
        assert waiting.wait(20) == 0
        waiting.stdout.close()
        dead.wait()


def test_a_named_domain_whose_lock_is_never_let_go_of_is_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_SECONDS", 0.1)
    with other_process("run = RunPlan.of(Path('/m'), 'lab').make()"):
        (base / "lab" / LOCK).write_text("")
        with pytest.raises(MalboxError, match="its process is not known"):
            RunPlan.of(MANIFEST, "lab").make()
    assert remove_leftovers(base) == 1


def test_what_a_killed_run_left_is_removed_by_the_next(base: Path) -> None:
    code = (
        "run = RunPlan.of(Path('/m'), None).make(); "
        "Path('/dev/shm', run.domain.prefix + 'x').touch(); (run.path / 'shm' / 'services').mkdir()"
    )
    with other_process(code) as process:
        (left,) = base.iterdir()
        shared = SHARED_MEMORY / f"{prefix_of(left)}x"
        assert remove_leftovers(base) == 0
        assert shared.exists()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        run = RunPlan.of(MANIFEST, None).make()
        assert not shared.exists()
        assert list(base.iterdir()) == [run.path]
        run.remove()


def test_leftovers_are_the_folders_of_runs_and_nothing_else(base: Path) -> None:
    base_folder()
    (base / "a file").touch()
    (base / "photos").mkdir()
    (base / "photos" / "lock").touch()
    (base / "empty").mkdir()
    (base / "01234567-abcdef").mkdir()  # was killed before it had its lock
    (base / "lab").mkdir()
    (base / "lab" / LOCK).touch()
    (base / "lab" / "shm").symlink_to(base / "photos")
    assert remove_leftovers(base) == 1
    assert sorted(path.name for path in base.iterdir()) == ["a file", "empty", "photos"]
    assert (base / "photos" / "lock").exists()
    for path in (base / "a file", base / "photos" / "lock"):
        path.unlink()
    for path in (base / "empty", base / "photos"):
        path.rmdir()


@pytest.mark.parametrize("domain", [None, "lab"], ids=["own", "named"])
def test_what_a_dead_run_left_running_is_ended_before_the_next_begins(base: Path, domain: str | None) -> None:
    run = RunPlan.of(MANIFEST, domain).make()
    os.close(run.lock)  # as its end does, which took the guardian with it
    mark = "import resource; resource.setrlimit(10, ({} << 24, resource.getrlimit(10)[1]))"
    with other_process(mark.format(run.nonce)) as stray, other_process(mark.format(run.nonce ^ 1)) as other:
        next_run = RunPlan.of(MANIFEST, domain).make()
        assert stray.wait(20) == -signal.SIGKILL
        assert other.poll() is None
    assert next_run.nonce != run.nonce
    next_run.remove()
    assert not base.exists()


def test_leftovers_of_a_folder_that_is_gone_are_none(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "gone") == 0


def test_the_lock_of_a_folder_is_the_last_that_goes(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunPlan.of(MANIFEST, "lab").make()
    (run.path / "socket").touch()
    seen: list[list[str]] = []
    unlink = Path.unlink

    def watched(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == LOCK:
            seen.append([other.name for other in path.parent.iterdir()])
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    run.remove()
    assert seen == [[LOCK]]
    assert not base.exists()


@pytest.mark.parametrize("domain", [None, "lab"], ids=["own", "named"])
def test_many_processes_make_and_remove_runs_at_once(base: Path, domain: str | None) -> None:
    code = (
        "import sys, os; from pathlib import Path\n"
        "from malbox_cli.supervisor.run_folder import *\n"
        "from plugin_runtime.errors import MalboxError\n"
        "done = 0\n"
        "while done < 25:\n"
        "    try:\n"
        f"        run = RunPlan.of(Path('/m'), {domain!r}).make()\n"
        "    except MalboxError as error:\n"
        "        assert 'another supervisor runs' in str(error), error\n"
        "        continue\n"
        "    (run.path / 'mine').write_text(str(os.getpid()))\n"
        "    (run.path / 'shm' / 'x').touch()\n"
        "    file = Path('/dev/shm', run.domain.prefix + 'x')\n"
        "    file.touch(exist_ok=False)\n"
        "    assert (run.path / 'mine').read_text() == str(os.getpid())\n"
        "    assert (run.path / 'shm' / 'x').exists() and file.exists()\n"
        "    run.remove()\n"
        "    done += 1\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert errors == [""] * 4
    assert not base.exists()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(mode=0o755), "is not a folder of this user alone"),
        (lambda path: path.symlink_to("/tmp"), "is not a folder of this user alone"),
        (lambda path: path.touch(), "cannot make the folder"),
    ],
    ids=["open to others", "a symlink", "a file"],
)
def test_a_base_folder_that_is_not_ours_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], why: str
) -> None:
    monkeypatch.setattr(module, "MAX_BASE_BYTES", 1000)
    monkeypatch.setenv("MALBOX_RUNTIME_DIR", str(tmp_path / "base"))
    make(tmp_path / "base")
    with pytest.raises(MalboxError, match=why):
        base_folder()


def test_a_base_folder_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base_folder()
    monkeypatch.setattr(module.os, "getuid", lambda: 4711)
    with pytest.raises(MalboxError, match=f"{base} is not a folder of this user alone"):
        base_folder()


def test_a_base_folder_with_a_long_name_is_refused_before_iceoryx2_aborts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALBOX_RUNTIME_DIR", str(tmp_path / ("x" * 40)))
    with pytest.raises(MalboxError, match="set MALBOX_RUNTIME_DIR to a shorter one"):
        base_folder()


def test_every_run_of_its_own_fits_in_every_base_folder() -> None:
    longest = "x" * module.MAX_BASE_BYTES + "/01234567-abcdef/shm" + prefix_of(Path("x"))
    assert len(longest) <= MAX_ROOT_AND_PREFIX


def test_a_named_domain_that_does_not_fit_is_refused_before_iceoryx2_aborts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x"
    monkeypatch.setattr(module, "MAX_BASE_BYTES", 1000)
    monkeypatch.setenv("MALBOX_RUNTIME_DIR", str(folder))
    with pytest.raises(MalboxError, match="or give the domain a shorter name"):
        RunPlan.of(MANIFEST, "n" * 24)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("named", "runtime", "expected"),
    [
        ("/tmp/named", "/tmp", "/tmp/named"),
        ("", "/run", "/run/malbox"),
        ("", "/no/such/folder", f"/tmp/malbox-{os.getuid()}"),
        ("", "/" + "x" * 60, f"/tmp/malbox-{os.getuid()}"),
        ("", "", f"/tmp/malbox-{os.getuid()}"),
    ],
)
def test_where_the_base_folder_is(monkeypatch: pytest.MonkeyPatch, named: str, runtime: str, expected: str) -> None:
    monkeypatch.setenv("MALBOX_RUNTIME_DIR", named)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    made: list[Path] = []

    def mkdir(path: Path, **_: object) -> None:
        made.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(MalboxError, match=f"cannot make the folder {expected}: No space left on device"):
        base_folder()
    assert made == [Path(expected)]
