"""What the plugins' processes print, their end, and the end of what they leave."""

import fcntl
import os
import secrets
import select
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from children_rig import Rig, is_gone, open_rig, python, wait_until

from malbox_cli.supervisor import children, sweep
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.output_pump import READ_BYTES
from malbox_cli.supervisor.strays import stat_of
from malbox_cli.supervisor.sweep import Sweeper
from plugin_runtime.wire.log_marks import mark_start

LINES = 200_000
"""Empty ones, more than a pipe holds by itself."""

FORK = (
    "import os, resource, signal, sys\n"
    "def child(do, n=1):\n"
    "    for _ in range(n):\n"
    "        if not os.fork(): do(); os._exit(0)\n"
)
SLEEP = "signal.signal(15, signal.SIG_IGN); signal.pause()"

LEAVING = {
    "in its group": (f"def stay(): {SLEEP}\nchild(stay, 3)", 3),
    "in a session of its own": (f"def stay(): os.setsid(); {SLEEP}\nchild(stay, 2)", 2),
    "forked twice": (f"def stay(): {SLEEP}\ndef again(): os.setsid(); child(stay)\nchild(again)", 1),
    "with nothing of its environment": (
        f"def stay(): os.setsid(); os.execve(sys.executable, ['x', '-c', 'import signal; {SLEEP}'], {{}})\nchild(stay)",
        1,
    ),
    "without a mark": (
        (
            f"def free(): resource.setrlimit(10, (-1, -1))\ndef stay(): free(); {SLEEP}\nchild(stay)\n"
            f"def away(): free(); os.setsid(); {SLEEP}\nchild(away)"
        ),
        2,
    ),
    "below others that it left": (
        f"def stay(): os.setsid(); {SLEEP}\ndef two(): os.setsid(); child(stay, 2); {SLEEP}\nchild(two, 3)",
        9,
    ),
    "fifty of them": (f"def stay(): os.setsid(); {SLEEP}\nchild(stay, 50)", 50),
}


@pytest.fixture
def rig() -> Iterator[Rig]:
    with open_rig() as rig:
        yield rig


def waiting_in(pipe: int) -> int:
    """Return how many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def descendants(pid: int) -> set[int]:
    """Return the living processes below one."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := stat_of(int(name))) is not None and stat[0] != "Z":
            parents[int(name)] = stat[1]
    found: set[int] = set()
    while more := {each for each, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def test_a_flood_of_lines_has_its_share_of_a_turn_and_none_is_lost(rig: Rig) -> None:
    child, _ = rig.children.spawn(python(f"import os, signal; os.write(1, b'\\n' * {LINES}); signal.pause()"))
    fcntl.fcntl(child.output, fcntl.F_SETPIPE_SZ, 1 << 20)
    while waiting_in(child.output) < LINES:
        assert select.select([child.output], [], [], 20)[0]
        os.sched_yield()

    rig.poller.dispatch()

    assert len(rig.printed) == READ_BYTES < LINES
    rig.children.kill_all()
    assert rig.printed == b"\n" * LINES


@pytest.mark.parametrize("how", LEAVING)
def test_what_a_process_leaves_is_killed_with_it_and_counted(rig: Rig, how: str) -> None:
    code, count = LEAVING[how]
    before = descendants(os.getpid())
    child, _ = rig.children.spawn(python(f"{FORK}{code}\nprint('up', flush=True); signal.pause()"))
    rig.wait_for_line("up")
    # The launcher is there too, and one that only forks is gone soon.
    wait_until(lambda: len(descendants(os.getpid()) - before) == count + 1, f"{count} processes")
    pids = descendants(os.getpid()) - before - {child.pid}

    os.kill(child.pid, signal.SIGKILL)
    assert rig.end_of().status == ExitStatus(None, signal.SIGKILL)
    rig.turn_until(lambda: rig.said, "it is said how many were killed")

    assert all(is_gone(pid) for pid in pids)
    assert rig.strangers() == []
    many = f"{count} processes" if count > 1 else "a process"
    assert rig.said == [("warning", f"p: killed {many} that it had left")]


def test_nothing_is_said_of_a_process_that_leaves_nothing_or_only_what_has_ended(rig: Rig) -> None:
    rig.run(python(""))
    rig.run(python(f"{FORK}child(os.getpid, 3); os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)"))
    assert rig.said == []
    assert rig.strangers() == []


def test_what_another_plugin_has_is_left_alone(rig: Rig) -> None:
    code = f"{FORK}def stay(): os.setsid(); {SLEEP}\ndef again(): os.setsid(); child(stay)\nchild(again); os.wait()\n"
    rig.children.spawn(python(f"{code}print('up', flush=True); signal.pause()", id="q"))
    rig.wait_for_line("up")
    [adopted] = wait_until(rig.strangers, "it was adopted")

    rig.run(python(""))
    rig.children.look_after()

    assert rig.strangers() == [adopted]
    assert rig.said == []
    rig.children.signal("q", signal.SIGKILL)
    rig.end_of("q")
    assert is_gone(adopted)


def test_an_adopted_process_that_ends_by_itself_is_reaped_while_its_plugin_lives(rig: Rig) -> None:
    rig.children.spawn(python(f"{FORK}child(lambda: child(os.getpid, 5)); print('up', flush=True); signal.pause()"))
    rig.wait_for_line("up")
    wait_until(lambda: len(rig.strangers()) == 5, "five were adopted")
    wait_until(lambda: all((stat_of(pid) or " ")[0] == "Z" for pid in rig.strangers()), "they have ended")

    rig.children.look_after()

    assert rig.strangers() == []
    assert rig.said == []


def test_a_child_of_somebody_else_is_neither_killed_nor_reaped(rig: Rig) -> None:
    ended, living = os.posix_spawn("/bin/true", ["true"], {}), os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)

    rig.run(python(""))
    rig.children.look_after()
    rig.children.kill_all()

    assert os.waitpid(ended, 0) == (ended, 0)
    assert os.waitpid(living, os.WNOHANG) == (0, 0)
    os.kill(living, signal.SIGKILL)
    os.waitpid(living, 0)


def test_all_are_killed_and_nothing_of_the_run_is_left(rig: Rig) -> None:
    for plugin_id in "pq":
        stay = f"def stay(): os.setsid(); os.write(1, b'there\\n'); {SLEEP}"
        rig.children.spawn(python(f"{FORK}{stay}\nchild(stay, 3); {SLEEP}", id=plugin_id))
    rig.turn_until(lambda: rig.lines == ["there"] * 6, "all are there")

    rig.children.kill_all()

    assert rig.strangers() == []
    assert sorted(text for _, text in rig.said) == [f"{each}: killed 3 processes that it had left" for each in "pq"]


def test_a_signal_to_all_reaches_every_group(rig: Rig) -> None:
    for plugin_id in "pq":
        rig.children.spawn(python("import signal; print('up', flush=True); signal.pause()", id=plugin_id))
    rig.turn_until(lambda: rig.lines == ["up", "up"], "both are up")

    rig.children.signal_all(signal.SIGTERM)

    rig.turn_until(lambda: len(rig.ended) == 2, "both have ended")
    assert [rig.children.reap(each).status.signal for each in "pq"] == [signal.SIGTERM] * 2


def test_what_takes_its_time_to_end_is_finished_later_and_counted_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "AT_ONCE_SECONDS", 0.0)
    stay = f"def stay(): os.setsid(); os.write(1, b'there\\n'); {SLEEP}\ndef two(): child(stay, 2); stay()"
    rig.children.spawn(python(f"{FORK}{stay}\nchild(two, 3); signal.pause()"))
    rig.turn_until(lambda: rig.lines == ["there"] * 9, "all are there")
    rig.children.signal("p", signal.SIGTERM)

    rig.end_of()
    assert rig.strangers()
    rig.turn_until(lambda: rig.said, "it is said how many were killed")

    assert rig.said == [("warning", "p: killed 9 processes that it had left")]
    assert rig.strangers() == []


def test_what_was_overlooked_is_ended_when_the_children_are_looked_after(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay = f"def stay(): os.setsid(); os.write(1, b'there\\n'); {SLEEP}"
    rig.children.spawn(python(f"{FORK}{stay}\nchild(stay, 2); signal.pause()"))
    rig.turn_until(lambda: rig.lines == ["there"] * 2, "both are there")
    rig.children.signal("p", signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Sweeper, "sweep", lambda *_: None)
        rig.end_of()
    assert len(rig.strangers()) == 2

    wait_until(lambda: rig.children.look_after() or not rig.strangers(), "they have ended")


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A group whose processes do not even mind SIGKILL while they are frozen."""
    group = Path("/sys/fs/cgroup/freezer", f"mbt-{secrets.token_hex(6)}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"there is no freezer of version 1 that we may use: {error}")
    (group / "freezer.state").write_text("FROZEN")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "nothing is in it")
    group.rmdir()


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="freezes processes, which only root may")
@pytest.mark.parametrize("whom", ["p", "what it left"])
def test_what_the_kernel_does_not_let_go_of_keeps_nobody_waiting_for_ever(
    rig: Rig, freezer: Path, monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    monkeypatch.setattr(children, "LAST_SECONDS", 0.1)
    monkeypatch.setattr(sweep, "AT_THE_END_SECONDS", 0.1)
    code = f"{FORK}def stay(): os.setsid(); print(os.getpid(), flush=True); {SLEEP}\nchild(stay); {SLEEP}"
    child, _ = rig.children.spawn(python(code))
    rig.turn_until(lambda: rig.lines, "it is there")
    frozen = child.pid if whom == "p" else int(rig.lines[0])
    (freezer / "cgroup.procs").write_text(str(frozen))

    rig.children.kill_all()

    held = {
        "p": ("error", f"p: process {frozen} does not die, the kernel holds it"),
        "what it left": ("error", f"what plugins had left does not die, the kernel holds it: process {frozen}"),
    }
    assert held[whom] in rig.said
    assert rig.strangers() == [frozen]
    (freezer / "freezer.state").write_text("THAWED")
    os.waitpid(frozen, 0)


def test_an_instance_is_gone_when_its_process_is_and_its_lines_have_its_mark(rig: Rig) -> None:
    _, instance = rig.children.spawn(python("print('up')"))
    rig.wait_for_line("up")
    assert rig.mark == mark_start("key")
    assert rig.gone == []
    rig.end_of()
    assert rig.gone == [instance]
