"""The manifest of a running supervisor, read again."""

from pathlib import Path

import pytest

from malbox_cli.manifest.load import load_manifest
from malbox_cli.supervisor.reread import read_again
from plugin_runtime.errors import MalboxError

PLUGINS = """
[plugins.a]
command = ["{python}"]
instances = 2
[plugins.b]
command = ["{python}"]
after = ["a"]
"""


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("domain", '"x"', '"y"'),
        ("state_dir", '"x"', '"y"'),
        ("ledger", "true", "false"),
        ("copy_samples", "false", "true"),
    ],
)
def test_what_only_a_new_supervisor_can_do_is_refused(tmp_path: Path, key: str, before: str, after: str) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text(f"[malbox]\n{key} = {before}\n{PLUGINS}")
    manifest = load_manifest(path)
    read_again(manifest, ())
    path.write_text(f"[malbox]\n{key} = {after}\n{PLUGINS}")
    with pytest.raises(MalboxError, match=rf"malbox\.{key} has changed, which only a new supervisor can follow"):
        read_again(manifest, ())


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ((), "a-1 a-2 a-3 b"),
        (("a",), "a-1 a-2 a-3"),
        (("a-2",), "a-2"),
        (("a-2", "a-9"), "a-2"),
        (("b",), "a-1 a-2 a-3 b"),
    ],
)
def test_what_was_chosen_is_chosen_again(tmp_path: Path, chosen: tuple[str, ...], ids: str) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text(PLUGINS)
    manifest = load_manifest(path)
    path.write_text(PLUGINS.replace("instances = 2", "instances = 3"))
    plugins, _ = read_again(manifest, chosen)
    assert [spec.id for spec in plugins] == ids.split()


def test_more_than_can_run_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text(PLUGINS)
    manifest = load_manifest(path)
    path.write_text(PLUGINS.replace("instances = 2", "instances = 64") + '[plugins.c]\ncommand = ["{python}"]\n')
    with pytest.raises(MalboxError, match=r"these are 66 processes, and one supervisor can have 65, .*; lower"):
        read_again(manifest, ())
