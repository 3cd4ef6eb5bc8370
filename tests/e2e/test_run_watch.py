"""`malbox run --watch`: a run, and another one whenever something changes."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_harness import Place, Running, eventually

pytest.importorskip("watchfiles", reason="`pip install -e '.[test]'` installs watchfiles")

MAIN = """
import os

import plugin_runtime as malbox


class Says(malbox.Plugin):
    def on_task(self, ctx: malbox.Context) -> None:
        sample = ctx.task().sample_bytes().decode()
        ctx.results().push(malbox.PluginResult.json("said", ["WORD", os.environ.get("MOOD", "no"), sample]))


malbox.run(Says())
"""
ABOUT = '[plugin]\nname = "says"\nversion = "0.1.0"\ntype = "host"\n'
MANIFEST = '[plugins.says]\npath = "says"\nenv_file = "says.env"\n'


@pytest.fixture
def manifest(place: Place) -> Path:
    folder = place.folder / "says"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "plugin.toml").write_text(ABOUT)
    (place.folder / "says.env").write_text("MOOD=calm\n")
    return place.write_manifest(MANIFEST)


@contextmanager
def watching(place: Place, manifest: Path, *arguments: object) -> Iterator[Running]:
    """Have it run during a block, from its first run's end on; Ctrl-C ends it."""
    running = place.start("run", "-f", manifest, "--json", "--watch", *arguments)
    running.wait_for('"type": "completed"')
    yield running
    running.signal(signal.SIGINT)
    assert running.wait().code == 130, running.err


def said(running: Running) -> list[str]:
    """What the runs said, each as one text."""
    records = [json.loads(line) for line in running.out.splitlines(keepends=True) if line.endswith("\n")]
    return [" ".join(record["data"]) for record in records if record["type"] == "result"]


def until(running: Running, runs: list[str]) -> None:
    eventually(lambda: said(running) == runs and running.out.count('"completed"') == len(runs), f"{runs} were said")


def test_whatever_a_run_depends_on_has_it_run_again(place: Place, manifest: Path) -> None:
    sample = place.sample(b"one")
    with watching(place, manifest, sample) as running:
        runs = ["WORD calm one"]
        until(running, runs)
        assert f"watching {manifest.name}" in running.err

        sample.write_bytes(b"two")
        until(running, [*runs, (last := "WORD calm two")])
        runs.append(last)
        assert running.err.splitlines()[-1] == "malbox: sample has changed"

        (place.folder / "says.env").write_text("MOOD=cross\n")
        until(running, [*runs, (last := "WORD cross two")])
        runs.append(last)
        assert running.err.splitlines()[-1] == "malbox: says.env has changed"

        new = place.folder / "says" / "main.py.new"  # as an editor does it
        new.write_text(MAIN.replace("WORD", "word"))
        os.replace(new, place.folder / "says" / "main.py")
        until(running, [*runs, "word cross two"])
        assert "says/main.py" in running.err.splitlines()[-1]


def test_what_is_wrong_in_between_is_told_and_waited_for(place: Place, manifest: Path) -> None:
    sample = place.sample(b"one")
    with watching(place, manifest, sample) as running:
        manifest.write_text(MANIFEST + "colour = 1\n")
        running.wait_for("plugins.toml:4: plugins.says.colour")
        sample.unlink()
        running.wait_for("malbox: sample has changed")
        manifest.write_text(MANIFEST)
        running.wait_for("malbox: cannot read the sample")
        sample.write_bytes(b"two")
        until(running, ["WORD calm one", "WORD calm two"])


def test_a_plugin_that_the_manifest_has_from_now_on_is_watched_too(place: Place, manifest: Path) -> None:
    other = place.folder / "other"
    other.mkdir()
    (other / "main.py").write_text(MAIN.replace("WORD", "other"))
    (other / "plugin.toml").write_text(ABOUT)
    with watching(place, manifest, place.sample(b"one")) as running:
        manifest.write_text(MANIFEST + '[plugins.other]\npath = "other"\n')
        eventually(lambda: len(said(running)) == 3, "both have run")
        (other / "main.py").write_text(MAIN.replace("WORD", "changed"))
        eventually(lambda: "changed no one" in said(running), "the other has changed")


def test_what_changes_during_a_run_is_not_overlooked(place: Place) -> None:
    manifest = place.manifest("slow_start")
    sample = place.sample(b"one")
    running = place.start("run", "-f", manifest, "--json", "--watch", sample)
    running.wait_for('"type": "accepted"')
    sample.write_bytes(b"two")
    running.wait_for("malbox: sample has changed")
    running.signal(signal.SIGINT)
    assert running.wait().code == 130


def test_what_a_run_writes_is_no_change(place: Place, manifest: Path) -> None:
    folder = manifest.parent / "says"
    own = folder / "plugins.toml"  # so its state folder is in the plugin's
    own.write_text('[plugins.says]\npath = "."\n')
    sample = place.sample(b"one")
    with watching(place, own, sample, "--output", folder / "out") as running:
        assert (folder / "out").is_dir()
        assert (folder / ".malbox").is_dir()
        (folder / ".git").mkdir()
        (folder / "main.pyc").write_bytes(b"")
        sample.write_bytes(b"two")
        until(running, ["WORD no one", "WORD no two"])
        assert [line for line in running.err.splitlines() if "changed" in line] == ["malbox: sample has changed"]


def test_a_command_without_a_folder_is_watched_by_its_files(place: Place) -> None:
    script = place.folder / "says.py"
    script.write_text(MAIN)
    manifest = place.write_manifest('[plugins.says]\ncommand = ["{python}", "says.py"]\n')
    with watching(place, manifest, place.sample(b"one")) as running:
        (place.folder / "something.else").write_text("")
        script.write_text(MAIN.replace("WORD", "word"))
        until(running, ["WORD no one", "word no one"])
        assert running.err.splitlines()[-1] == "malbox: says.py has changed"


def test_ctrl_c_ends_it_in_a_run_too(place: Place) -> None:
    manifest = place.manifest("never_ready")
    running = place.start("run", "-f", manifest, "--json", "--watch", place.sample())
    running.wait_for('"type": "accepted"')
    running.signal(signal.SIGINT)
    assert running.wait().code == 130


def test_what_is_wrong_at_the_beginning_ends_it(place: Place) -> None:
    done = place.malbox("run", "-f", place.write_manifest("[plugins.x]\npath = 'nowhere'\n"), "--watch", place.sample())
    assert done.code == 2
    done = place.malbox("run", "-f", place.manifest("echo"), "--watch", "missing")
    assert done.code == 2


def test_without_watchfiles_it_says_how_to_install_it(place: Place) -> None:
    (place.folder / "watchfiles.py").write_text("raise ImportError\n")
    done = place.malbox(
        "run", "-f", place.manifest("echo"), "--watch", place.sample(), env={"PYTHONPATH": str(place.folder)}
    )
    assert done.code == 2
    assert "-m pip install watchfiles" in done.err


def test_a_folder_without_a_manifest_is_watched(place: Place, manifest: Path) -> None:
    folder = manifest.parent / "says"
    manifest.unlink()
    running = place.start("run", "--json", "--watch", "--plugin", folder, place.sample(b"one"))
    until(running, ["WORD no one"])
    (folder / "main.py").write_text(MAIN.replace("WORD", "word"))
    until(running, ["WORD no one", "word no one"])
    running.signal(signal.SIGINT)
    assert running.wait().code == 130
