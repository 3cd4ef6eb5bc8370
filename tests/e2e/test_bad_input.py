"""Input that cannot be used: one clear message, its exit code, nothing left."""

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from e2e_harness import PLUGINS, Done, Place, eventually, peak_memory

ECHO = f'[plugins.echo]\npath = "{PLUGINS}/echo"\n'
GUEST = '[plugin]\nname = "guest"\nversion = "0.1.0"\ntype = "guest"\n'
HOST = GUEST.replace("guest", "host")

# What the manifest says, and a part of the one message that is expected.
MANIFESTS = {
    "missing": (None, "plugins.toml: does not exist; 'malbox init' writes one"),
    "not TOML": ("plugins = [", "TOML"),
    "empty": ("", "is empty"),
    "an unknown key": (f"{ECHO}confg = {{}}\n", "did you mean 'config'"),
    "a wrong type": ("[plugins.echo]\npath = 3\n", "expected"),
    "a bad id": (f'[plugins."a b"]\npath = "{PLUGINS}/echo"\n', "cannot be a plugin's id"),
    "two of the same id": (ECHO + ECHO, "plugins.toml:3"),
    "a missing folder": ('[plugins.a]\npath = "nowhere"\n', "nowhere"),
    "a folder without plugin.toml": ('[plugins.a]\npath = "bare"\n', "plugin.toml"),
    "a guest": ('[plugins.a]\npath = "guest"\n', "guest"),
    "a program that is missing": ('[plugins.a]\ncommand = ["./no-program"]\n', "does not exist"),
    "a program that may not be executed": ('[plugins.a]\ncommand = ["./not-executable"]\n', "may not be executed"),
}


def bytes_read(pid: int) -> int:
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def assert_one_clear_message(done: Done, code: int, *parts: str) -> None:
    assert done.code == code, done
    text = done.out + done.err
    assert "Traceback" not in text
    for part in parts:
        assert part in text, done
    assert done.seconds < 30


@pytest.fixture
def folder(place: Place) -> Path:
    for name, plugin_toml in (("guest", GUEST), ("bare", None)):
        (place.folder / name).mkdir()
        shutil.copy(PLUGINS / "echo" / "main.py", place.folder / name)
        if plugin_toml is not None:
            (place.folder / name / "plugin.toml").write_text(plugin_toml)
    (place.folder / "not-executable").write_text("#!/bin/sh\n")
    return place.folder


# Every command reads a manifest the same way, so one of them has all the cases.
@pytest.mark.parametrize(
    ("command", "case"),
    [("up", case) for case in MANIFESTS] + [(other, "missing") for other in ("check", "run", "status", "down")],
)
@pytest.mark.usefixtures("folder")
def test_a_manifest_that_cannot_be_used_ends_with_2(place: Place, command: str, case: str) -> None:
    text, message = MANIFESTS[case]
    if text is not None:
        place.write_manifest(text)

    done = place.malbox(command, *(["/bin/ls"] if command == "run" else []))

    assert_one_clear_message(done, 2, "plugin", message)
    assert len((done.out + done.err).splitlines()) == 1
    assert not (place.folder / ".malbox").exists()


def test_every_problem_is_printed_at_once_with_its_line(place: Place) -> None:
    place.write_manifest('[malbox]\nstop_timeot = "1s"\n[plugins.a]\npath = "nowhere"\n[plugins.b]\n')

    done = place.malbox("up")

    assert_one_clear_message(done, 2, "plugins.toml:2", "plugins.toml:4", "plugins.toml:5", "stop_timeout")
    assert len(done.err.splitlines()) == 3


@pytest.mark.parametrize(
    "command", [["up", "ecko"], ["send-task", "ecko", "/bin/ls"], ["run", "--plugin", "ecko", "/bin/ls"]]
)
def test_a_plugin_that_is_not_known_is_answered_by_the_one_that_was_meant(place: Place, command: list[str]) -> None:
    place.manifest("echo")

    assert_one_clear_message(place.malbox(*command), 2, "has no plugin 'ecko'", "did you mean 'echo'")


@pytest.mark.parametrize("command", [["run"], ["send-task", "echo"]], ids=lambda c: c[0])
@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("nothing", "No such file"),
        ("", "is '', the name of no file"),
        (".", "is a folder"),
        ("/dev/zero", "not a regular file"),
        ("pipe", "not a regular"),
    ],
)
def test_a_sample_that_is_none_ends_with_2(place: Place, command: list[str], sample: str, message: str) -> None:
    place.manifest("echo")
    os.mkfifo(place.folder / "pipe")

    assert_one_clear_message(place.malbox(*command, sample), 2, sample, message)


def test_no_sample_at_all_ends_with_2(place: Place) -> None:
    place.manifest("echo")

    assert_one_clear_message(place.malbox("run"), 2, "SAMPLE")


@pytest.mark.parametrize("arguments", [["--set", "novalue"], ["--timeout", "0"], ["--timeout", "nan"], ["--nope"]])
def test_an_argument_that_makes_no_sense_ends_with_2(place: Place, arguments: list[str]) -> None:
    place.manifest("echo")

    assert_one_clear_message(place.malbox("run", "/bin/ls", *arguments), 2, arguments[0])


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_sample_that_may_not_be_read_ends_with_2(place: Place) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    manifest = place.manifest("echo")
    sample = place.sample()
    sample.chmod(0)
    for folder in (place.folder, *place.folder.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    program = [setpriv, "--reuid=12345", "--regid=12345", "--clear-groups"]
    probe = subprocess.run([*program, *place.argv, "--version"], capture_output=True, cwd=place.folder, check=False)
    if probe.returncode:
        pytest.skip(f"another user cannot run this Python: {probe.stderr.decode()[-200:]}")

    done = place.malbox("run", "-f", manifest, sample, argv=[*program, *place.argv])

    assert_one_clear_message(done, 2, "Permission denied")


def test_a_sample_that_vanishes_during_a_run_fails_its_task_alone(place: Place) -> None:
    until = place.folder / "go"
    here, gone = place.sample(name="here"), place.sample(name="gone")
    run = place.start(
        "run", "-f", place.manifest("echo"), "--json", here, gone, "--set", f"until={until}", "--set", "stat=1"
    )
    eventually(lambda: run.out.count('"accepted"') == 2 and '"waiting"' in run.out, "works on the first")

    gone.unlink()
    until.touch()

    done = run.wait()
    assert done.code == 1
    samples = {record["task"]: record["sample"] for record in done.of("accepted")}
    assert [samples[record["task"]] for record in done.of("completed")] == [str(here)]
    [failed] = done.of("failed")
    assert samples[failed["task"]] == str(gone)
    assert "FileNotFoundError" in failed["error"]


def test_an_empty_sample_is_a_legal_task(place: Place) -> None:
    done = place.run(place.manifest("echo"), place.sample(b""), "--set", "stat=1")

    assert done.code == 0, done
    assert done.of("result")[0]["data"] == {"size": 0}


def test_four_gibibytes_are_not_read_into_memory_and_can_be_cancelled_meanwhile(place: Place) -> None:
    manifest = place.manifest("echo")
    sample = place.sample(b"")
    os.truncate(sample, 4 << 30)
    with place.up(manifest) as supervisor:
        task = place.start("send-task", "-f", manifest, "--json", "echo", sample, "--set", "stat=1")
        eventually(lambda: bytes_read(supervisor.pid) > 1 << 30, "has read a part of it")

        assert peak_memory(supervisor.pid) < 150 << 20
        task.signal(signal.SIGINT)
        assert task.wait(20).code == 130
        # Its digest is still being computed, which holds up nobody.
        assert place.send(manifest, "echo", place.sample(name="small")).code == 0


def test_a_large_sample_is_a_task_like_any_other(place: Place) -> None:
    sample = place.sample(b"")
    os.truncate(sample, (1 << 30) + 1)

    done = place.run(place.manifest("echo"), sample, "--set", "stat=1", patience=60)

    assert done.code == 0, done
    assert done.of("result")[0]["data"] == {"size": (1 << 30) + 1}


def test_a_plugin_started_by_hand_says_how_to_start_it(place: Place) -> None:
    done = place.malbox(argv=[place.argv[0], str(PLUGINS / "echo" / "main.py")])

    assert_one_clear_message(done, 2, "main.py: ", "MALBOX_PLUGIN_ID is not set", "malbox run")
    assert len(done.err.splitlines()) == 1


def test_a_state_folder_that_cannot_be_made_is_named(place: Place) -> None:
    (place.folder / "file").touch()
    place.write_manifest(f'[malbox]\nstate_dir = "file/state"\n{ECHO}')

    for command in (["up"], ["run", "/bin/ls"]):
        assert_one_clear_message(place.malbox(*command), 1, "file/state")


@pytest.mark.parametrize(
    ("path", "message"),
    [("/tmp/" + "x" * 80, "MALBOX_RUNTIME_DIR"), ("/proc/no", "cannot make"), ("/", "not a folder of this user")],
)
def test_a_runtime_folder_that_cannot_be_used_is_named(place: Place, path: str, message: str) -> None:
    place.manifest("echo")

    assert_one_clear_message(place.malbox("run", "/bin/ls", env={"MALBOX_RUNTIME_DIR": path}), 1, path, message)


def test_an_output_folder_that_cannot_be_made_ends_the_run(place: Place) -> None:
    manifest = place.manifest("echo")
    (place.folder / "file").touch()

    done = place.run(manifest, place.sample(), "--set", "sizes=3", "--output", "file/found")

    assert_one_clear_message(done, 1, "file/found")


def test_many_plugins_raise_the_limit_on_descriptors_and_keep_the_plugins_own(place: Place) -> None:
    table = {"path": str(PLUGINS / "echo")}
    manifest = place.manifest(**{f"p{number}": table for number in range(16)})
    command = shlex.join([*place.argv, "up", "-f", str(manifest)])
    supervisor = place.start("-c", f"ulimit -Sn 200; exec {command}", argv=["sh"])
    supervisor.wait_for("every plugin is READY")

    limits = {psutil.Process(row["pid"]).rlimit(psutil.RLIMIT_NOFILE)[0] for row in place.status(manifest)["plugins"]}

    assert limits == {200}
    assert place.malbox("down", "-f", manifest).code == 0
    assert supervisor.wait(20).code == 0


def test_a_limit_on_descriptors_that_is_too_low_is_named(place: Place) -> None:
    command = shlex.join([*place.argv, "run", "-f", str(place.manifest("echo")), str(place.sample())])

    assert_one_clear_message(place.malbox("-c", f"ulimit -n 64; {command}", argv=["sh"]), 1, "ulimit -n 340")


def test_a_current_folder_that_is_gone_is_named(place: Place) -> None:
    command = shlex.join([*place.argv, "run", "-f", str(place.manifest("echo")), "sample"])

    done = place.malbox("-c", f"mkdir gone && cd gone && rmdir ../gone && {command}", argv=["sh"])

    assert_one_clear_message(done, 2, "sample", "the current folder is not there any more")
