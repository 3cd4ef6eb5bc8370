"""What the documents say has to be so."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from malbox_cli.cli import COMMANDS

TOP = Path(__file__).resolve().parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
GROUPED = {"commands": "`commands/*`", "report": "`report/`"}
"""Folders whose files the architecture names together."""


def modules() -> Iterator[str]:
    for package in ("plugin_runtime", "malbox_cli"):
        for file in sorted((TOP / package).rglob("*.py")):
            if file.name != "__init__.py":
                yield str(file.relative_to(TOP / package).with_suffix(""))


@pytest.mark.parametrize("module", list(modules()))
def test_the_architecture_names_the_home_of_every_module(module: str) -> None:
    name = GROUPED.get(module.partition("/")[0], f"`{module}`")
    assert name in ARCHITECTURE or f"`{module}`" in ARCHITECTURE


def test_the_architecture_names_no_module_that_is_gone() -> None:
    rows = re.findall(r"^\| ((?:`[\w/*]+`(?:, )?)+) \|", ARCHITECTURE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w/]+)`", row) if not name.endswith("/")}
    assert named - set(modules()) == set()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_the_readme_names_every_command(command: str) -> None:
    assert f"malbox {command}" in README


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{file.name}" for file in (TOP / "docs").glob("*.md"))])
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    file = TOP / document
    for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), target


def test_the_plugin_in_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    folder.mkdir()
    for name, language in (("plugin.toml", "toml"), ("main.py", "python")):
        block = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        assert block is not None
        (folder / name).write_text(block[1], encoding="utf-8")

    def malbox(*arguments: str) -> str:
        argv = [sys.executable, "-m", "malbox_cli.cli", *arguments]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    malbox("init", "hello")
    records = [json.loads(line) for line in malbox("run", "/bin/ls", "--json").splitlines()]

    results = {record["name"]: record["data"] for record in records if record["type"] == "result"}
    assert results == {"size": {"bytes": Path("/bin/ls").stat().st_size}}
