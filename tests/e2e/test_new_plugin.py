"""`malbox new`, and `malbox run` on a folder without a manifest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_harness import PLUGINS, REPOSITORY, Place

from malbox_cli.commands.new import TEMPLATES
from malbox_cli.manifest import new_plugin

RUFF_OF_OURS = ("--config", str(REPOSITORY / "pyproject.toml"))


def tool(folder: Path, *argv: str) -> None:
    """Run a tool in a folder, which has to be content."""
    done = subprocess.run([sys.executable, "-m", *argv], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "template"), [("pdf-text", "file"), ("9_lives", "async")])
def test_what_new_writes_runs_and_passes_every_check_as_it_is(place: Place, name: str, template: str) -> None:
    new = place.malbox("new", name, "--template", template)
    folder = place.folder / name

    assert new.code == 0, new
    assert new.out == ""
    assert f"malbox run --plugin ./{name} /bin/ls" in new.err
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "main.py", "plugin.toml", "test_main.py"]
    run = place.malbox("run", "--plugin", f"./{name}", "--json", place.sample(b"a sample"))
    assert run.code == 0, run
    assert [record["name"] for record in run.of("result")] == ["summary", "report"]
    assert run.of("result")[0]["data"]["size"] == 8
    tool(folder, "pytest", "-q", "-p", "no:cacheprovider")
    tool(folder, "ruff", "check", "--no-cache", ".")
    tool(folder, "ruff", "format", "--no-cache", "--check", ".")
    tool(folder, "ruff", "check", "--no-cache", *RUFF_OF_OURS, ".")
    tool(folder, "ruff", "format", "--no-cache", "--check", *RUFF_OF_OURS, ".")


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_new_writes_is_typed_strictly(place: Place, template: str) -> None:
    assert place.malbox("new", "typed", "--template", template).code == 0
    tool(place.folder / "typed", "mypy", "--strict", "--cache-dir", str(place.folder / "cache"), ".")


def test_what_new_writes_goes_into_a_manifest_and_its_smoke_test_passes(place: Place) -> None:
    assert place.malbox("new", "hello", "plugins/of mine").code == 0
    assert place.malbox("init").code == 0
    manifest = place.folder / "plugins.toml"
    readme = (place.folder / "plugins" / "of mine" / "README.md").read_text()
    test = readme.partition("```toml\n")[2].partition("```")[0].replace("plugins.hello", "plugins.of-mine")
    manifest.write_text(manifest.read_text() + test)

    done = place.malbox("smoke")

    assert place.malbox("check").code == 0
    assert done.code == 0, done
    assert "ok   of-mine #1" in done.out


def test_new_overwrites_nothing(place: Place) -> None:
    (place.folder / "there").mkdir()
    mine = place.folder / "there" / "mine"
    mine.write_text("mine")

    full = place.malbox("new", "there")
    a_file = place.malbox("new", "other", "there/mine")
    below_a_file = place.malbox("new", "other", "there/mine/below")
    (place.folder / "empty").mkdir()

    for refused in (full, a_file, below_a_file):
        assert refused.code == 2, refused
        assert "Traceback" not in refused.err
    assert "there is there and not an empty folder" in full.err
    assert [file.name for file in (place.folder / "there").iterdir()] == ["mine"]
    assert mine.read_text() == "mine"
    assert place.malbox("new", "empty").code == 0


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "--", "-_", "x" * 64, "malbox", "../up"])
def test_a_name_that_no_plugin_can_have_is_refused(place: Place, name: str) -> None:
    done = place.malbox("new", "--", name)

    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert not [path for path in place.folder.iterdir() if path.is_dir()]


def test_a_class_has_a_name_that_python_takes() -> None:
    names = {"pdf-text": "PdfTextPlugin", "9_lives": "Plugin9LivesPlugin", "none": "NonePlugin", "aB": "ABPlugin"}
    assert {name: new_plugin.class_name(name) for name in names} == names


def test_the_command_has_every_template() -> None:
    assert new_plugin.TEMPLATES == TEMPLATES


def test_a_folder_by_its_name_needs_no_manifest_where_there_is_none(place: Place) -> None:
    assert place.malbox("new", "hello").code == 0

    done = place.malbox("run", "--plugin", "hello", "--json", place.sample())

    assert done.code == 0, done
    assert (place.folder / ".malbox").is_dir()


def test_several_folders_run_together_and_one_named_twice_once(place: Place) -> None:
    for name in ("one", "two"):
        assert place.malbox("new", name).code == 0
    arguments = [f"--plugin=./{name}" for name in ("one", "two", "one/")]

    done = place.malbox("run", *arguments, "--json", place.sample())

    assert done.code == 0, done
    assert sorted(record["plugin"] for record in done.of("completed")) == ["one", "two"]


def test_a_manifest_that_is_there_is_not_read_for_a_folder(place: Place) -> None:
    place.write_manifest("not TOML")
    done = place.malbox("run", "--plugin", PLUGINS / "echo", "--set", "stat=1", "--json", place.sample(b"1234"))
    assert done.code == 0, done
    assert [record["data"] for record in done.of("result")] == [{"size": 4}]


def test_a_large_result_of_a_folders_plugin_is_there_afterwards(place: Place) -> None:
    done = place.malbox("run", "--plugin", PLUGINS / "echo", "--set", "sizes=1000", "--json", place.sample())
    (result,) = done.of("result")
    assert Path(result["path"]).stat().st_size == 1000
    assert Path(result["path"]).is_relative_to(place.folder / ".malbox")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plugin", "./gone"], "gone: is no folder; name the folder of a plugin"),
        (["--plugin", "."], "has no plugin.toml; name the folder of a plugin"),
        (["--plugin", "./empty"], "empty: there is nothing to run"),
        (["--plugin", "./guest"], "guest/plugin.toml:4: plugin.type: is 'guest'"),
        (["--plugin", "./empty", "--plugin", "echo"], "'echo' is the name of a plugin and './empty' a folder"),
        (["--plugin", "./empty", "-f", "plugins.toml"], "the folder './empty' needs no manifest; leave out -f"),
        (["--plugin", "gone"], "plugins.toml: does not exist"),
    ],
)
def test_a_folder_that_cannot_be_run_says_why(place: Place, arguments: list[str], message: str) -> None:
    for name, kind in (("empty", "host"), ("guest", "guest")):
        (place.folder / name).mkdir()
        about = f'[plugin]\nname = "{name}"\nversion = "1.0.0"\ntype = "{kind}"\n'
        (place.folder / name / "plugin.toml").write_text(about)

    done = place.malbox("run", *arguments, place.sample())

    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert message in done.err, done.err
    assert json.dumps(done.out) == '""'
