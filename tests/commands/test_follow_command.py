"""The two meanings of -f."""

from pathlib import Path

import pytest

from malbox_cli.commands.logs import command


@pytest.mark.parametrize(
    ("arguments", "manifest", "follow", "plugins"),
    [
        ([], "plugins.toml", False, ()),
        (["-f"], "plugins.toml", True, ()),
        (["-f", "yara"], "plugins.toml", True, ("yara",)),
        (["yara", "-f"], "plugins.toml", True, ("yara",)),
        (["-f", "lab.toml"], "lab.toml", False, ()),
        (["-f", "./lab", "yara"], "./lab", False, ("yara",)),
        (["-f", "lab.toml", "-f"], "lab.toml", True, ()),
        (["-f", "-f", "lab.toml", "y*"], "lab.toml", True, ("y*",)),
        (["-flab.toml"], "lab.toml", False, ()),
        (["-fn", "5"], "plugins.toml", True, ()),
        (["-f", "-n", "5"], "plugins.toml", True, ()),
        (["--follow", "--manifest", "lab"], "lab", True, ()),
        (["--", "-f"], "plugins.toml", False, ("-f",)),
        (["-f", "--", "lab.toml"], "plugins.toml", True, ("lab.toml",)),
    ],
)
def test_it_names_the_manifest_before_a_file_and_follows_otherwise(
    arguments: list[str], manifest: str, follow: bool, plugins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MALBOX_MANIFEST", raising=False)
    values = command.make_context("logs", list(arguments)).params
    assert values["manifest_path"] == Path(manifest)
    assert values["follow"] is follow
    assert values["plugins"] == plugins
    assert values["lines"] == (5 if "5" in arguments else None)
