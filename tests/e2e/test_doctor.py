"""`malbox doctor`: every problem made on purpose, and what it removes and leaves alone."""

import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_harness import SHARED_MEMORY, Done, Place, eventually

from malbox_cli.supervisor.run_folder import LOCK, prefix_of_runs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts or changes owners, which only root may")

MAP = """
import mmap, sys
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), 0)
file.close()
print("there", flush=True)
sys.stdin.read()
"""
NODE = """
import iceoryx2 as iox, os
iox.set_log_level(iox.LogLevel.Fatal)
node = iox.NodeBuilder.new().signal_handling_mode(iox.SignalHandlingMode.Disabled).create(iox.ServiceType.Ipc)
os._exit(0)
"""


def checks_of(done: Done) -> dict[str, dict[str, str]]:
    document = json.loads(done.out)
    assert document["ok"] is (done.code == 0), done
    assert document["ok"] is all(check["status"] != "PROBLEM" for check in document["checks"])
    return {check["name"]: check for check in document["checks"]}


def doctor(place: Place, *arguments: object, **more: Any) -> dict[str, dict[str, str]]:
    done = place.malbox("doctor", "--json", *arguments, **more)
    assert done.code in (0, 1), done
    assert done.err == ""
    return checks_of(done)


def in_shell(place: Place, before: str, *arguments: object, argv: tuple[str, ...] = ("sh", "-c")) -> Done:
    command = shlex.join([*place.argv, "doctor", "--json", *map(str, arguments)])
    return place.malbox(f"{before}; exec {command}", argv=argv)


def is_problem(check: Mapping[str, str], text: str) -> bool:
    return check["status"] == "PROBLEM" and text in check["message"] and bool(check["fix"])


def test_without_a_manifest_it_looks_at_the_machine(place: Place) -> None:
    checks = doctor(place)

    assert checks["manifest"]["status"] == "NOTE"
    for name in ("machine", "python", "iceoryx2", "shared memory", "descriptors", "runtime folder", "left runs"):
        assert checks[name]["status"] == "OK", checks[name]
    assert "supervisor" not in checks


def test_as_text_each_check_is_a_line(place: Place) -> None:
    manifest = place.manifest("echo")

    done = place.malbox("doctor", "-f", manifest)

    lines = done.out.splitlines()
    assert len(lines) >= 14
    assert all(line.split()[0] in ("OK", "NOTE", "PROBLEM") for line in lines)
    assert f"{manifest}: 1 plugin(s) can be started" in done.out


def test_a_manifest_with_problems(place: Place) -> None:
    manifest = place.write_manifest('[plugins.a]\npath = "/no/such"\nwrong = 1\n')

    checks = doctor(place, "-f", manifest)

    assert is_problem(checks["manifest"], "2 problem(s); the first: ")
    assert f"malbox check -f {manifest}" in checks["manifest"]["fix"]


def test_a_manifest_that_was_named_has_to_be_there(place: Place) -> None:
    checks = doctor(place, env={"MALBOX_MANIFEST": "not-here.toml"})

    assert is_problem(checks["manifest"], "not-here.toml")


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_runtime_folder_that_is_open_to_others(place: Place, mode: int) -> None:
    place.runtime.chmod(mode)

    checks = doctor(place)

    assert is_problem(checks["runtime folder"], "is not a folder of this user alone")
    assert "left runs" not in checks


def test_a_runtime_folder_with_too_long_a_name(place: Place) -> None:
    checks = doctor(place, env={"MALBOX_RUNTIME_DIR": "/tmp/" + "x" * 40})

    assert is_problem(checks["runtime folder"], "more than 32 bytes")


def test_a_runtime_folder_that_cannot_be_made(place: Place) -> None:
    checks = doctor(place, env={"MALBOX_RUNTIME_DIR": "/dev/null/x"})

    assert is_problem(checks["runtime folder"], "")


def test_too_few_descriptors(place: Place) -> None:
    checks = checks_of(in_shell(place, "ulimit -n 100", "-f", place.manifest("echo")))

    assert is_problem(checks["descriptors"], "1 plugin(s) need 340 open descriptors, and this process may have 100")


def test_another_kind_of_machine(place: Place) -> None:
    linux32 = shutil.which("linux32")
    if linux32 is None:
        pytest.skip("linux32 is not installed")

    checks = checks_of(place.malbox(*place.argv[1:], "doctor", "--json", argv=[linux32, place.argv[0]]))

    assert is_problem(checks["machine"], "i686")


def test_an_iceoryx2_that_cannot_be_loaded(place: Place) -> None:
    broken = place.folder / "broken" / "iceoryx2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libc is too old')\n")

    checks = doctor(place, env={"PYTHONPATH": str(broken.parent)})

    assert is_problem(checks["iceoryx2"], "libc is too old")
    assert checks["shared memory"]["status"] == "OK"


@pytest.mark.needs_root
@as_root
@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ("mount -t tmpfs -o size=64k none /dev/shm", "64.0 KiB free"),
        ("mount --bind /usr /dev/shm", "is no tmpfs"),
    ],
    ids=["small", "no tmpfs"],
)
def test_shared_memory_that_is_not_as_it_should_be(place: Place, mount: str, text: str) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a file system")

    done = in_shell(place, mount, argv=(unshare, "-m", "sh", "-c"))

    assert is_problem(checks_of(done)["shared memory"], text)


def test_a_state_folder_that_cannot_be_one(place: Place) -> None:
    manifest = place.manifest("echo")
    (place.folder / "taken").write_text("a file")
    manifest.write_text(manifest.read_text().replace("[malbox]", '[malbox]\nstate_dir = "taken/state"'))

    checks = doctor(place, "-f", manifest)

    assert is_problem(checks["state folder"], "taken is no folder")


def test_a_state_folder_that_others_may_need(place: Place) -> None:
    manifest = place.manifest("echo")
    home = place.folder / "home"
    home.mkdir(mode=0o755)
    (home / "letter").touch()
    manifest.write_text(manifest.read_text().replace("[malbox]", '[malbox]\nstate_dir = "home"'))

    checks = doctor(place, "-f", manifest)

    assert is_problem(checks["state folder"], "is open to other users and has other things")
    assert home.stat().st_mode & 0o777 == 0o755


@contextmanager
def own_default_root(place: Place) -> Iterator[Path]:
    """Have iceoryx2 use a folder of this test where nobody names one."""
    root = Path(tempfile.mkdtemp(prefix="mbd", dir="/tmp"))
    prefix = f"mbd{secrets.token_hex(4)}_"
    config = place.folder / "config" / "iceoryx2.toml"
    config.parent.mkdir()
    config.write_text(f'[global]\nroot-path = "{root}"\nprefix = "{prefix}"\n')
    try:
        yield root
    finally:
        shutil.rmtree(root)
        for file in SHARED_MEMORY.glob(f"{prefix}*"):
            file.unlink()


@pytest.mark.needs_root
@as_root
@pytest.mark.parametrize(("domain", "status"), [("default", "PROBLEM"), ("lab", "NOTE")])
def test_a_default_root_of_another_user(place: Place, domain: str, status: str) -> None:
    manifest = place.manifest("echo")
    manifest.write_text(manifest.read_text().replace("[malbox]", f'[malbox]\ndomain = "{domain}"'))
    with own_default_root(place) as root:
        os.chown(root, 12345, 12345)

        check = doctor(place, "-f", manifest)["iceoryx2's own folder"]

    assert check["status"] == status
    assert "belongs to user 12345" in check["message"]


def test_a_dead_node_in_the_default_root_is_removed(place: Place) -> None:
    with own_default_root(place) as root:
        assert place.malbox("-c", NODE, argv=[sys.executable]).code == 0
        check = doctor(place)["iceoryx2's dead nodes"]
        assert check["status"] == "NOTE"
        assert "1 ended process(es)" in check["message"]

        done = place.malbox("doctor", "--json", "--clean")

        assert f"1 dead node(s) in {root}" in json.loads(done.out)["removed"]
        assert checks_of(done)["iceoryx2's dead nodes"]["status"] == "OK"


def test_a_supervisor_and_what_its_plugins_say(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest) as up:
        checks = doctor(place, "-f", manifest)

    assert f"process {up.pid} supervises" in checks["supervisor"]["message"]
    assert "1 of 1 plugin(s) READY" in checks["supervisor"]["message"]
    assert checks["plugins' iceoryx2"]["status"] == "OK"
    assert "1 running plugin(s)" in checks["plugins' iceoryx2"]["message"]


def test_a_supervisor_that_does_not_answer(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest) as up:
        up.signal(signal.SIGSTOP)
        checks = doctor(place, "-f", manifest)
        up.signal(signal.SIGCONT)

    assert is_problem(checks["supervisor"], "does not answer")


def kill_all_of(place: Place, pid: int) -> None:
    """Kill a supervisor and everybody who would clean up for it."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.suspend()
    for process in family:
        process.kill()
    eventually(lambda: not place.processes(), "all of them are gone")


def test_what_a_killed_run_left_is_removed(place: Place) -> None:
    place.orphans_are_fine = True
    up = place.start_up(place.manifest("echo"))
    kill_all_of(place, up.pid)
    up.popen.wait()
    assert len(place.files()) > 3
    check = doctor(place)["left runs"]
    assert check["status"] == "NOTE"
    assert str(place.runtime) in check["message"]

    done = place.malbox("doctor", "--clean", "--json")

    assert json.loads(done.out)["removed"] == ["1 folder(s) of runs"]
    assert checks_of(done)["left runs"]["status"] == "OK"
    assert not place.files()
    assert not place.leftovers()


def memory_file(place: Place) -> Path:
    file = SHARED_MEMORY / f"{prefix_of_runs(place.runtime)}0123456_left"
    file.write_bytes(b"left")
    return file


def test_files_in_shared_memory_of_no_run_are_removed(place: Place) -> None:
    file = memory_file(place)
    assert is_problem(doctor(place)["left shared memory"], str(file))

    done = place.malbox("doctor", "--clean")

    assert "removed: 1 file(s) in shared memory" in done.out
    assert not file.exists()


def test_a_file_in_shared_memory_that_somebody_uses_stays(place: Place) -> None:
    file = memory_file(place)
    user = place.start("-c", MAP, file, argv=[sys.executable], stdin=subprocess.PIPE)
    user.wait_for("there")

    assert doctor(place, "--clean")["left shared memory"]["status"] == "OK"

    assert file.exists()
    assert user.popen.stdin is not None
    user.popen.stdin.close()
    user.wait()
    file.unlink()


@contextmanager
def plugin_of(place: Place, supervisor: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a process that says that it is a plugin of that supervisor."""
    variables = {"MALBOX_PLUGIN_ID": "lonely", "MALBOX_SUPERVISOR_PID": str(supervisor), **more}
    process = place.start("1000", argv=["sleep"], env=variables, start_new_session=True).popen
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_plugin_without_a_supervisor_is_killed(place: Place) -> None:
    with plugin_of(place, ended_process()) as plugin:
        assert is_problem(doctor(place)["left processes"], f"{plugin.pid} (lonely)")

        done = place.malbox("doctor", "--clean", "--json")

        assert plugin.wait(15) == -signal.SIGKILL
        assert "process(es)" in json.loads(done.out)["removed"][0]
        assert f"{plugin.pid} " not in checks_of(done)["left processes"]["message"]


def test_a_plugin_whose_run_is_being_cleaned_up_is_left_to_that(place: Place) -> None:
    run = place.runtime / "lab"
    run.mkdir(mode=0o700)
    with (run / LOCK).open("w") as lock, plugin_of(place, ended_process(), MALBOX_DOMAIN_ROOT=f"{run}/shm") as plugin:
        fcntl.flock(lock, fcntl.LOCK_EX)

        checks = doctor(place, "--clean")

        assert f"{plugin.pid} " not in checks["left processes"]["message"]
        assert plugin.poll() is None
    shutil.rmtree(run)


def test_cleaning_leaves_a_living_run_whole(place: Place) -> None:
    manifest = place.manifest("echo", "leaves_child")
    with place.up(manifest) as up:
        before = (sorted(place.files()), place.children_of(up.pid))

        checks = doctor(place, "--clean", "-f", manifest)

        assert checks["left runs"]["status"] == checks["left shared memory"]["status"] == "OK"
        assert (sorted(place.files()), place.children_of(up.pid)) == before
        assert place.send(manifest, "echo", place.sample()).code == 0
