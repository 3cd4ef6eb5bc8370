"""Limits on a process as the kernel keeps them, and what is said of one that reached its own."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children_rig import Rig, open_rig, python

from malbox_cli.manifest.specs import Limits, PluginSpec
from malbox_cli.supervisor import kernel_kills, launch
from malbox_cli.supervisor.cgroups import control_groups, own_group
from malbox_cli.supervisor.diagnosis import explain
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.kernel_kills import kills_for_memory, why_killed

KILLED = ExitStatus(None, signal.SIGKILL)
PROBE = "import children_rig, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
FORK_UP_TO_50 = (
    "import os, signal\n"
    "pids = []\n"
    "try:\n"
    "    for _ in range(50):\n"
    "        if not (pid := os.fork()): signal.pause()\n"
    "        pids.append(pid)\n"
    "except BlockingIOError as error: print('refused after', len(pids), flush=True)\n"
    "for pid in pids: os.kill(pid, 9); os.waitpid(pid, 0)\n"
)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with open_rig() as rig:
        yield rig


def told(rig: Rig, spec: PluginSpec) -> str:
    """Run a process to its end, and return what is said of that."""
    ending = rig.run(spec)
    return explain(
        ending.status,
        seconds=60,
        was_ready=True,
        program=spec.argv[0],
        limits=spec.limits,
        memory_note=ending.memory_note,
        last_lines=rig.lines,
    )


def test_a_process_that_wants_more_memory_than_it_may_have_says_so(rig: Rig) -> None:
    spec = python("bytearray(1 << 30)", limits=Limits(memory=256 << 20))
    assert told(rig, spec) == "exited with code 1: it reached its memory limit of 256MiB; raise limits.memory"


def test_shared_memory_is_not_what_a_process_is_limited_in(rig: Rig) -> None:
    spec = python(
        "import mmap; mmap.mmap(-1, 1 << 40, flags=mmap.MAP_SHARED | 0x4000)", limits=Limits(memory=256 << 20)
    )
    assert told(rig, spec) == "exited with code 0"


def test_a_process_that_used_up_its_time_on_a_processor_says_so(rig: Rig) -> None:
    spec = python("while True: pass", limits=Limits(cpu_time=1))
    assert told(rig, spec) == "was killed by SIGXCPU (signal 24): it used up its cpu_time of 1s; raise limits.cpu_time"


def test_a_process_that_does_not_mind_that_is_killed_and_it_is_said_too(rig: Rig) -> None:
    spec = python("import signal; signal.signal(24, signal.SIG_IGN)\nwhile True: pass", limits=Limits(cpu_time=1))
    assert told(rig, spec) == "was killed by SIGKILL (signal 9): it used up its cpu_time of 1s; raise limits.cpu_time"


def test_a_process_that_we_killed_is_not_said_to_have_reached_a_limit(rig: Rig) -> None:
    spec = python("print('up', flush=True)\nwhile True: pass", limits=Limits(cpu_time=1))
    rig.children.spawn(spec)
    rig.wait_for_line("up")
    rig.children.signal("p", signal.SIGKILL)
    assert rig.end_of().memory_note == ""


def test_a_process_may_have_only_so_many_descriptors(rig: Rig) -> None:
    rig.run(python("import os; print(*[os.dup(0) for _ in range(20)])", limits=Limits(nofile=10)))
    assert "OSError: [Errno 24] Too many open files" in rig.lines


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_another_user_may_have_only_so_many_processes() -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    user = 100_000 + secrets.randbelow(1_000_000)  # whose processes are counted: nobody else's
    # It may read whatever folder this Python is in, and may not do anything else that another user may not.
    rights = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    become = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", *rights, sys.executable]
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(launch.__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path}
    probe = subprocess.run([*become, "-c", PROBE], env=environment, cwd="/", capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"another user cannot run this Python: {probe.stderr.decode()[-200:]}")
    code = (
        "import sys; from children_rig import open_rig, python; from malbox_cli.manifest.specs import Limits\n"
        "with open_rig() as rig:\n"
        "    ending = rig.run(python(sys.argv[1], limits=Limits(procs=12)))\n"
        "print(ending.status, *rig.lines)"
    )
    done = subprocess.run(
        [*become, "-c", code, FORK_UP_TO_50],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # We, the launcher and the process itself are processes of that user too.
    assert done.stdout == "exited with code 0 refused after 9\n", done.stderr


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="it is root whom the limit does not bind")
@pytest.mark.skipif(own_group() is not None, reason="a control group is delegated to us, so it does")
def test_root_is_told_that_a_limit_on_processes_does_not_bind_it() -> None:
    said: list[str] = []
    plugins = [python("", id=name, limits=Limits(procs=10)) for name in ("p", "q")] + [python("", id="r")]
    with control_groups(plugins, 1, lambda _, text: said.append(text)) as groups:
        assert groups is None
    with control_groups(plugins[2:], 1, lambda _, text: said.append(text)):
        pass
    [text] = said
    assert text.startswith("limits.procs of p, q does not bind root, who this runs as: run malbox as another user")


def test_what_the_kernel_killed_for_memory_is_counted_for_the_whole_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kills_for_memory() >= 0
    vmstat = tmp_path / "vmstat"
    monkeypatch.setattr(kernel_kills, "VMSTAT", vmstat)
    assert kills_for_memory() == 0
    vmstat.write_text("nr_free_pages 1\noom_kill 3\ndrop_pagecache 0\n")
    assert kills_for_memory() == 3
    note = why_killed(KILLED, Limits(), 0.0, 2, None)
    assert note.startswith("the kernel did it for want of memory, probably")
    assert why_killed(KILLED, Limits(), 0.0, 3, None) == ""
    assert why_killed(ExitStatus(None, signal.SIGTERM), Limits(), 0.0, 2, None) == ""


def test_a_control_group_in_which_something_was_killed_for_memory_says_whose_limit_it_was(tmp_path: Path) -> None:
    limits = Limits(memory=1 << 30)
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\n")
    assert why_killed(KILLED, limits, 0.0, kills_for_memory(), tmp_path) == ""
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\n")
    assert why_killed(KILLED, limits, 0.0, 1 << 60, tmp_path) == (
        "it reached its memory limit of 1GiB; raise limits.memory"
    )
