"""What is said of this machine is what its kernel does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from malbox_cli.manifest.load import check_manifest, this_host

ROOT = Path(__file__).parents[2]

# Lowers its niceness as far as the host says, then by one more; each in a process of its own, for it stays lowered.
TRY = """
import json, os, sys
from malbox_cli.manifest.load import this_host
os.nice(int(sys.argv[1]))
host = this_host()
def may_add(step):
    child = os.fork()
    if not child:
        try:
            os.nice(step)
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
print(json.dumps([host.lowest_nice, host.is_root, may_add(host.lowest_nice), may_add(host.lowest_nice - 1)]))
"""


def tried(niceness: int, *before: str) -> tuple[int, bool, bool, bool]:
    argv = [*before, sys.executable, "-c", TRY, str(niceness)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lowest, is_root, may_lowest, may_less = json.loads(done.stdout)
    return lowest, is_root, may_lowest, may_less


def test_the_host_is_this_one() -> None:
    host = this_host()
    assert host.python == Path(sys.executable)
    assert host.cpus == os.sched_getaffinity(0)
    assert host.is_root is (os.getuid() == 0)


@pytest.mark.parametrize("niceness", [0, 5])
def test_a_niceness_may_be_as_low_as_is_said(niceness: int) -> None:
    lowest, is_root, may_lowest, may_less = tried(niceness)
    assert -20 <= lowest <= 0
    assert is_root is (os.getuid() == 0)
    assert may_lowest
    assert not may_less or lowest == -20


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
@pytest.mark.parametrize("limit", [0, 25])
def test_a_niceness_of_another_user_may_be_as_low_as_its_limit_says(limit: int) -> None:
    setpriv, prlimit = shutil.which("setpriv"), shutil.which("prlimit")
    if setpriv is None or prlimit is None:
        pytest.skip("setpriv or prlimit is not installed")
    other = [prlimit, f"--nice={limit}", setpriv, "--reuid=12345", "--regid=12345", "--clear-groups"]
    probe = subprocess.run(
        [*other, sys.executable, "-c", "import malbox_cli"], capture_output=True, cwd=ROOT, check=False
    )
    if probe.returncode:
        pytest.skip(f"there is no such user here: {probe.stderr.decode()[-200:]}")

    lowest, is_root, may_lowest, may_less = tried(5, *other)

    assert (lowest < 0) is (limit > 0)
    assert not is_root
    assert may_lowest
    assert not may_less or lowest == -20


def test_processors_that_this_machine_does_not_have_are_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "plugins.toml"
    manifest.write_text('[plugins.a]\ncommand = ["{python}"]\ncpus = [8000]\n')
    _, problems = check_manifest(manifest)
    assert [problem.where for problem in problems] == ["plugins.a.cpus"]
    assert "names processor 8000, on which malbox may not run; it may run on " in problems[0].message
