"""The launcher: what a process finds when it begins, and what becomes of a launcher that does not answer."""

import errno
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from children_rig import Rig, is_gone, open_rig, python, spec_of, wait_until

from malbox_cli.manifest.specs import Limits
from malbox_cli.supervisor import launch
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.processes import SpawnError
from malbox_cli.supervisor.strays import mark_of, nonce_in, stat_of, to_mark

BEGINNING = """
import json, os, resource, signal
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "argv": __import__("sys").argv[1:], "folder": os.getcwd(), "environment": dict(os.environ),
    "session": os.getsid(0) == os.getpgid(0) == os.getpid(), "parent": os.getppid(), "umask": os.umask(0),
    "descriptors": {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
                    if os.path.exists("/proc/self/fd/" + name)},
    "blocked": status["SigBlk"].strip(), "ignored": status["SigIgn"].strip(), "nice": os.getpriority(0, 0),
    "cpus": sorted(os.sched_getaffinity(0)), "threads": status["Threads"].strip(),
    "limits": {number: resource.getrlimit(number) for number in range(16)},
}))
"""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with open_rig() as rig:
        yield rig


def beginning(rig: Rig, *arguments: str, **more: Any) -> dict[str, Any]:
    """Return what a process finds when it begins."""
    ending = rig.run(python(BEGINNING, *arguments, **more))
    assert ending.status.is_success, rig.lines
    found: dict[str, Any] = json.loads(rig.lines[-1])
    return found


def test_a_process_is_what_was_asked_for(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALBOX_SECRET", "of the supervisor")
    monkeypatch.setenv("INHERITED", "1")
    odd = os.fsdecode(b"\xff \n")
    folder = tmp_path / odd
    folder.mkdir()

    found = beginning(rig, odd, "", env={"RULES": odd}, cwd=folder)

    assert found["argv"] == [odd, ""]
    assert found["folder"] == str(folder)
    assert found["session"]
    assert found["parent"] == os.getpid()
    assert found["environment"]["RULES"] == odd
    assert found["environment"]["INHERITED"] == "1"
    assert found["environment"]["PYTHONUNBUFFERED"] == "1"
    assert "MALBOX_SECRET" not in found["environment"]
    assert found["threads"] == "1"


def test_a_process_has_nothing_of_ours_open(rig: Rig) -> None:
    listener, pipe = socket.socket(), os.pipe()
    for descriptor in (listener.fileno(), *pipe):
        os.set_inheritable(descriptor, True)
    found = beginning(rig)
    listener.close()
    for descriptor in pipe:
        os.close(descriptor)
    assert set(found["descriptors"]) == {"0", "1", "2"}
    assert found["descriptors"]["0"] == "/dev/null"
    assert found["descriptors"]["1"] == found["descriptors"]["2"]
    assert found["descriptors"]["1"].startswith("pipe:")


def test_signals_that_we_ignore_or_block_are_as_they_should_be_in_a_process() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        with open_rig() as rig:
            found = beginning(rig)
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert int(found["blocked"], 16) == 0
    # These two a Python ignores for itself.
    of_python = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    assert int(found["ignored"], 16) & ~of_python == 0


def test_sigpipe_is_not_ignored(rig: Rig) -> None:
    assert rig.run(spec_of("/bin/sh", "-c", "kill -PIPE $$; echo ignored")).status == ExitStatus(None, signal.SIGPIPE)


def test_the_umask_is_ours() -> None:
    before = os.umask(0o027)
    try:
        with open_rig() as rig:
            assert beginning(rig)["umask"] == 0o027
    finally:
        os.umask(before)


def test_niceness_and_processors_are_set(rig: Rig) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    one = max(os.sched_getaffinity(0))
    found = beginning(rig, nice=3, cpus=frozenset({one}))
    assert found["nice"] == min(ours + 3, 19)
    assert found["cpus"] == [one]
    assert beginning(rig)["nice"] == ours


def test_limits_are_set(rig: Rig) -> None:
    limits = beginning(rig, limits=Limits(memory=1 << 30, cpu_time=7, nofile=99, procs=5000))["limits"]
    assert limits[str(resource.RLIMIT_DATA)] == [1 << 30, 1 << 30]
    assert limits[str(resource.RLIMIT_CPU)] == [7, 8]
    assert limits[str(resource.RLIMIT_NOFILE)] == [99, 99]
    assert limits[str(resource.RLIMIT_NPROC)] == [5000, 5000]
    limits = beginning(rig)["limits"]
    for number in (resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        assert tuple(limits[str(number)]) == resource.getrlimit(number)


def test_every_process_has_a_mark_of_its_own_and_the_hard_limit_stays(rig: Rig) -> None:
    hard = resource.getrlimit(10)[1]
    first, second = (beginning(rig)["limits"]["10"] for _ in range(2))
    assert first == [to_mark(rig.nonce, 1), hard]
    assert second == [to_mark(rig.nonce, 2), hard]
    assert nonce_in(first[0]) == rig.nonce
    assert nonce_in(None) is None
    assert nonce_in(1 << 60) is None
    assert nonce_in(5) is None


def test_without_room_for_a_mark_processes_start_all_the_same() -> None:
    # Only a process without privileges can be kept from raising its hard limit; its own is lowered for good.
    code = (
        "import os, resource, sys; resource.setrlimit(10, (5, 5))\n"
        "from malbox_cli.supervisor.launch import Launcher; from children_rig import python\n"
        "launcher = Launcher(77); child = launcher.spawn(python('pass'), {}, []); os.waitpid(child.pid, 0)\n"
        "launcher.close()"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(launch.__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_process_ends_with_us_even_where_nobody_is_left_to_kill_it() -> None:
    code = (
        "import os, signal\nfrom malbox_cli.supervisor.launch import Launcher; from children_rig import python\n"
        "launcher = Launcher(77)\n"
        "child = launcher.spawn(python('import signal; signal.signal(15, signal.SIG_IGN); signal.pause()'), {}, [])\n"
        "print(child.pid, launcher.pid, flush=True); signal.pause()"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(launch.__file__).parents[2])])
    ours = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE
    )
    assert ours.stdout is not None
    pids = [int(word) for word in ours.stdout.readline().split()]
    os.kill(pids[1], signal.SIGSTOP)  # it would see the end of its socket
    ours.kill()
    ours.wait()
    ours.stdout.close()
    wait_until(lambda: all((stat_of(pid) or "Z")[0] == "Z" for pid in pids), "both have ended")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_launcher_that_does_not_answer_is_replaced(rig: Rig, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ANSWER_SECONDS", 0.3)
    assert rig.run(python("")).status.is_success
    before = rig.launcher.pid
    assert before is not None
    os.kill(before, number)

    assert rig.run(python("")).status.is_success

    assert rig.launcher.pid != before
    assert is_gone(before)
    assert rig.strangers() == []


def test_a_launcher_that_is_stuck_in_a_request_is_replaced_and_what_it_began_is_ended(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "ANSWER_SECONDS", 0.3)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # opening it for writing never ends: a step that hangs, in a process that is already made
    before = rig.launcher.pid

    with pytest.raises(SpawnError, match=r"cannot start .*: the process that starts the plugins does not answer"):
        rig.launcher.spawn(python(""), {}, [], cgroup=str(fifo))

    assert before is not None
    assert is_gone(before)
    assert rig.strangers() == []
    assert rig.run(python("")).status.is_success


def test_without_a_launcher_the_supervisor_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rig.launcher.pid is not None
    os.kill(rig.launcher.pid, signal.SIGKILL)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(SpawnError, match="cannot start /bin/true: cannot start /no/such/python: No such file"):
            rig.children.spawn(spec_of("/bin/true"))
    assert rig.run(spec_of("/bin/true")).status.is_success  # now it can be started again


def test_a_launcher_that_was_never_needed_ends_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    launcher = launch.Launcher(77)
    assert launcher.pid is not None
    wait_until(lambda: mark_of(launcher.pid or 0), "it is there, and has said so")
    process = launcher._process
    launcher.close()
    assert process is not None
    assert process.returncode == 0
    assert capfd.readouterr().err == ""


def test_a_launcher_ends_when_it_is_let_go_of(rig: Rig) -> None:
    pid = rig.launcher.pid
    assert pid is not None
    assert nonce_in(wait_until(lambda: mark_of(pid), "it is marked")) == rig.nonce
    rig.launcher.close()
    assert is_gone(pid)


def elf(machine: int = 62, loader: bytes = b"") -> bytes:
    """Return a 64-bit program that cannot run: a header, and perhaps the name of a loader."""
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHLQQQLHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    if not loader:
        return header + bytes(56)
    name = loader + b"\0"
    table = struct.pack("<LLQQQQQQ", 3, 4, 64 + 112, 0, 0, len(name), len(name), 1)
    table += struct.pack("<LLQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 4096, 4096, 4096)
    return header[:56] + struct.pack("<H", 2) + header[58:] + table + name


FILES: dict[str, tuple[bytes | None, int, str]] = {
    "missing": (None, 0, r"it does not exist$"),
    "not executable": (b"#!/bin/sh\n", 0o644, r"it may not be executed \(chmod \+x it\)$"),
    "without an interpreter": (
        b"#!/no/such/python -x\n",
        0o755,
        r"the interpreter /no/such/python that its first line names does not exist: install it, or correct the line$",
    ),
    "with a carriage return": (b"#!/bin/sh\r\n", 0o755, r"its first line ends in a carriage return"),
    "an interpreter that may not run": (b"#!/etc/passwd\n", 0o755, r"/etc/passwd that it needs may not be executed"),
    "a text": (b"echo hello\n", 0o755, r"it is no program for this machine \(a script needs a first line #!\.\.\.\)$"),
    "empty": (b"", 0o755, r"it is empty$"),
    "data": (b"\0\1\2\3", 0o755, r"it is no program for this machine$"),
    "another machine's": (elf(183), 0o755, r"it is a program for aarch64, this machine is x86_64$"),
    "a machine's that nobody knows": (elf(4711), 0o755, r"another machine \(number 4711\), this machine is x86_64$"),
    "another libc's": (
        elf(loader=b"/lib/ld-musl-none.so.1"),
        0o755,
        r"its loader /lib/ld-musl-none\.so\.1 does not exist: it was built for another libc",
    ),
    "damaged": (b"\x7fELF\2\1\1".ljust(18, b"\0") + b"\x3e\0", 0o755, r"damaged, or no executable one$"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_program_that_cannot_be_started_is_told_with_the_reason(rig: Rig, tmp_path: Path, what: str) -> None:
    content, mode, why = FILES[what]
    program = tmp_path / "program"
    if content is not None:
        program.write_bytes(content)
        program.chmod(mode)

    with pytest.raises(SpawnError, match=rf"^cannot start {program}: .*{why}"):
        rig.children.spawn(spec_of(str(program)))

    assert rig.strangers() == []
    assert rig.children.get("p") is None


def test_a_folder_is_no_program(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match=rf"cannot start {tmp_path}: it is a folder: name a program in it"):
        rig.children.spawn(spec_of(str(tmp_path)))


def test_a_file_that_is_being_written_is_no_program_yet(rig: Rig, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with program.open("ab"), pytest.raises(SpawnError, match="somebody is still writing it"):
        rig.children.spawn(spec_of(str(program)))


def test_a_folder_to_run_in_that_is_gone_is_named(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match=rf"^its folder {tmp_path}/gone does not exist any more$"):
        rig.children.spawn(spec_of("/bin/true", cwd=tmp_path / "gone"))


def test_what_is_too_large_to_be_handed_over_is_told(rig: Rig) -> None:
    with pytest.raises(SpawnError, match="its arguments and environment are too large; shorten its config"):
        rig.children.spawn(spec_of("/bin/true", env={f"V{number}": "x" * 100_000 for number in range(100)}))
    assert rig.run(spec_of("/bin/true")).status.is_success


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cpus": frozenset({1000})}, r"it may run on none of its cpus \(1000\): see `nproc`"),
        ({"limits": Limits(nofile=1 << 40)}, rf"it may not have {1 << 40} open descriptors: lower limits\.nofile"),
        ({"argv": ("/bin/true", "a\0b")}, "Invalid argument"),
    ],
)
def test_a_setting_that_cannot_be_made_is_named(rig: Rig, more: dict[str, Any], why: str) -> None:
    with pytest.raises(SpawnError, match=f"^cannot start /bin/true: {why}"):
        rig.children.spawn(replace(spec_of("/bin/true"), **more))


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system, which only root may")
def test_a_file_system_where_nothing_may_be_executed_is_named(rig: Rig, tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    try:
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(stat.S_IRWXU)
        with pytest.raises(SpawnError, match="its file system is mounted noexec"):
            rig.children.spawn(spec_of(str(program)))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_whether_another_start_may_go_well_is_said(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    with pytest.raises(SpawnError) as missing:
        rig.children.spawn(spec_of(str(program)))
    assert not missing.value.is_transient

    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with program.open("ab"), pytest.raises(SpawnError, match="still writing it") as busy:
        rig.children.spawn(spec_of(str(program)))
    assert busy.value.is_transient

    def none_left(flags: int) -> tuple[int, int]:
        assert flags == os.O_CLOEXEC
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe2", none_left)
    with pytest.raises(SpawnError, match="Too many open files") as full:
        rig.children.spawn(spec_of("/bin/true"))
    assert full.value.is_transient
