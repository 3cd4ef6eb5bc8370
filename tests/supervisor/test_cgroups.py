"""Control groups: where ours is, and one that is really divided up, where this machine lets root do that."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children_rig import wait_until

from malbox_cli.supervisor import launch
from malbox_cli.supervisor.cgroups import Cgroups, folder_of
from plugin_runtime.errors import MalboxError

UNIFIED = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
INSIDE = "31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "folder"),
    [
        ("0::/user.slice/x.service\n", UNIFIED, "/sys/fs/cgroup/user.slice/x.service"),
        ("0::/\n", UNIFIED, "/sys/fs/cgroup"),
        ("4:memory:/x\n0::/y\n", HYBRID, "/sys/fs/cgroup/unified/y"),
        ("0::/docker/abc/d\n", INSIDE, "/sys/fs/cgroup/d"),
        ("0::/docker/abc\n", INSIDE, "/sys/fs/cgroup"),
        ("0::/docker/abcd\n", INSIDE, None),
        ("0::/../other\n", UNIFIED, None),
        ("4:memory:/x\n", HYBRID, None),
        ("0::/x\n", "", None),
    ],
)
def test_our_group_is_where_both_files_say(groups: str, mounts: str, folder: str | None) -> None:
    assert folder_of(groups, mounts) == (None if folder is None else Path(folder))


def test_a_group_that_cannot_be_divided_up_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalboxError, match=f"the control group {tmp_path}/no cannot be divided up: No such file"):
        Cgroups(tmp_path / "no", 1)


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A group that is delegated to whoever is in it, with a limit on processes."""
    if os.geteuid():
        pytest.skip("only root makes control groups at the top")
    top = folder_of("0::/\n", Path("/proc/self/mountinfo").read_text())
    if top is None:
        pytest.skip("no control groups of version 2 are mounted")
    if "pids" not in (top / "cgroup.controllers").read_text().split():
        pytest.skip("the controller `pids` belongs to control groups of version 1 here")
    group = top / f"mbt-{secrets.token_hex(6)}"
    control = top / "cgroup.subtree_control"
    before = control.read_text().split()
    try:
        if "pids" not in before:
            control.write_text("+pids")
        group.mkdir()
        os.setxattr(group, "trusted.delegate", b"1")
    except OSError as error:
        pytest.skip(f"control groups may not be made here: {error}")
    try:
        yield group
        wait_until(lambda: (group / "cgroup.events").read_text().startswith("populated 0"), "the group is empty")
        assert [path for path in group.iterdir() if path.is_dir()] == []
    finally:
        group.rmdir()
        if "pids" not in before:
            control.write_text("-pids")


def run_in(group: Path, code: str) -> str:
    """Run Python code in a group, with what it needs imported; return what it printed."""
    enter = f"open('{group}/cgroup.procs', 'w').write('0')\n"
    imports = (
        "import os, signal; from pathlib import Path\n"
        "from children_rig import Rig, open_rig, python; from malbox_cli.manifest.specs import Limits\n"
        "from malbox_cli.supervisor.cgroups import control_groups, own_group\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(launch.__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", enter + imports + code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK_UP_TO_50 = (
    "import os, signal\\n"
    "try:\\n"
    "    for number in range(50):\\n"
    "        if not os.fork(): os.setsid(); signal.pause()\\n"
    "except BlockingIOError: print('refused after', number, flush=True)\\n"
)


@pytest.mark.needs_root
def test_processes_are_limited_in_a_group_for_root_too_and_go_with_it(delegated: Path) -> None:
    printed = run_in(
        delegated,
        "assert own_group() is not None\n"
        f"spec = python('''{FORK_UP_TO_50}''', limits=Limits(procs=7))\n"
        "with control_groups([spec], 5, print) as groups, open_rig() as rig:\n"
        "    rig.children._groups = groups\n"
        "    print(rig.run(spec).status, *rig.lines)\n"
        "    print(*rig.said[0])\n",
    )
    assert printed == "exited with code 0 refused after 6\nwarning p: killed 6 processes that it had left\n"


@pytest.mark.needs_root
def test_a_group_with_others_in_it_is_left_as_it_was(delegated: Path) -> None:
    printed = run_in(
        delegated,
        "spec = python('', limits=Limits(procs=7))\n"
        "other = os.posix_spawn('/bin/sleep', ['sleep', '600'], {})\n"
        "with control_groups([spec], 5, lambda level, text: print(level, text)) as groups: print(groups)\n"
        "os.kill(other, 9); os.waitpid(other, 0)\n"
        "print(own_group().name)\n",
    )
    said, warned, groups, name = printed.splitlines()
    assert said == (
        f"warning the control group {delegated} cannot be divided up: Device or resource busy; "
        "limits hold for each process by itself"
    )
    assert warned.startswith("warning limits.procs of p does not bind root")
    assert groups == "None"
    assert name == delegated.name
