"""`init`, `check` and the help."""

import json
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from e2e_harness import PLUGINS, REPOSITORY, Place

COMMANDS = [
    *(
        "cancel",
        "check",
        "doctor",
        "down",
        "events",
        "init",
        "logs",
        "new",
        "prune",
        "reload",
        "restart",
        "retry",
        "run",
    ),
    *("send-task", "show", "smoke", "start", "status", "stop", "tasks", "up", "wait"),
]


def test_init_writes_a_manifest_that_runs_at_once(place: Place) -> None:
    shutil.copytree(PLUGINS / "echo", place.folder / "mine" / "echo")

    init = place.malbox("init")

    assert init.code == 0, init
    assert init.out == ""
    assert "plugins.toml" in init.err
    manifest = place.folder / "plugins.toml"
    assert list(tomllib.loads(manifest.read_text())["plugins"]) == ["echo"]
    assert place.malbox("check").code == 0
    assert place.malbox("run", "--json", place.sample()).end["type"] == "completed"


def test_init_says_how_many_plugins_it_found_and_why_it_left_one_out(place: Place) -> None:
    shutil.copytree(PLUGINS / "echo", place.folder / "mine" / "echo")
    shutil.copytree(PLUGINS / "raises", place.folder / "mine" / "raises")
    inside = place.folder / "mine" / "inside"
    inside.mkdir()
    (inside / "plugin.toml").write_text('[plugin]\nname = "inside"\nversion = "1.0.0"\ntype = "guest"\n')

    init = place.malbox("init")
    only_a_guest = place.malbox("init", inside, "-f", "other.toml")

    assert init.code == 0, init
    assert "plugins.toml: 2 plugins" in init.err
    assert f"left out {inside}: " in init.err
    assert only_a_guest.code == 2, only_a_guest
    assert "guest" in only_a_guest.err


def test_init_does_not_overwrite_without_force(place: Place) -> None:
    manifest = place.write_manifest("# mine\n")

    refused = place.malbox("init", PLUGINS / "echo")

    assert refused.code == 2
    assert "--force" in refused.err
    assert manifest.read_text() == "# mine\n"
    assert place.malbox("init", PLUGINS / "echo", "--force").code == 0
    assert "[plugins.echo]" in manifest.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no plugin folder"),
        (["nowhere"], "nowhere"),
        ([PLUGINS / "echo", "-f", "no/such/plugins.toml"], "no/such/plugins.toml"),
        ([PLUGINS / "echo", "-f", "."], "."),
    ],
    ids=["nothing found", "no such folder", "cannot be written", "a folder"],
)
def test_init_that_cannot_write_a_manifest_says_why(place: Place, arguments: list[str], message: str) -> None:
    done = place.malbox("init", *arguments)

    assert done.code == 2, done
    assert message in done.err
    assert "Traceback" not in done.err


def test_init_finds_the_example_plugins(place: Place) -> None:
    assert place.malbox("init", REPOSITORY / "examples").code == 0

    assert {*tomllib.loads((place.folder / "plugins.toml").read_text())["plugins"]} == {"file-info", "yara"}


def test_check_as_json_is_one_object(place: Place) -> None:
    good = place.malbox("check", "--json", "-f", place.manifest("echo"))
    bad = place.malbox("check", "--json", "-f", place.write_manifest("[plugins.a]\npath = 'nowhere'\n", "bad.toml"))

    assert good.code == 0
    assert json.loads(good.out)["ok"] is True
    assert json.loads(good.out)["plugins"][0]["id"] == "echo"
    assert bad.code == 2
    answer = json.loads(bad.out)
    assert answer["ok"] is False
    assert (answer["problems"][0]["line"], answer["problems"][0]["severity"]) == (2, "error")


def test_the_manifest_can_be_named_by_the_environment(place: Place) -> None:
    manifest = place.manifest("echo")
    manifest.rename(place.folder / "other.toml")

    assert place.malbox("check", env={"MALBOX_MANIFEST": "other.toml"}).code == 0
    assert place.malbox("check").code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(place: Place, command: str) -> None:
    done = place.malbox(command, "--help")

    assert done.code == 0
    assert f"malbox {command}" in done.out.partition("Example")[2]
    assert place.malbox(command, "-h").out == done.out


def test_the_help_lists_every_command(place: Place) -> None:
    done = place.malbox("--help")

    assert done.code == 0
    rows = done.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == COMMANDS


def test_an_unknown_command_is_answered_by_the_one_that_was_meant(place: Place) -> None:
    done = place.malbox("staus")

    assert done.code == 2
    assert "there is no command 'staus' (did you mean 'status'?)" in done.err


def test_the_version_is_that_of_the_package(place: Place) -> None:
    done = place.malbox("--version")

    assert done.code == 0
    assert done.out.split()[-1] == metadata.version("malbox")


def test_the_installed_program_is_the_same(place: Place) -> None:
    program = Path(sys.executable).with_name("malbox")

    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd=place.folder)

    assert done.stdout == place.malbox("--version").out
