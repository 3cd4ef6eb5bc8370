"""The plugins and the plugin.toml files in the documents about logs and artifacts, as they stand there."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from e2e_harness import Place

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.plugin_file import parse_plugin_file

DOCS = Path(__file__).resolve().parents[2] / "docs"
ABOUT = '[plugin]\nname = "p"\nversion = "0.1.0"\ntype = "host"\n'


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(place: Place, program: str, about: str, sample: Path) -> tuple[Path, list[str]]:
    folder = place.folder / "p"
    folder.mkdir()
    (folder / "main.py").write_text(program, encoding="utf-8")
    (folder / "plugin.toml").write_text(about, encoding="utf-8")
    manifest = place.write_manifest('[plugins.p]\npath = "p"\n')
    done = place.run(manifest, sample)
    assert done.code == 0, done
    return manifest, [record["name"] for record in done.of("result")]


def test_the_plugin_that_unpacks(place: Place) -> None:
    [program] = blocks("artifacts.md", "python")
    sample = place.folder / "sample.zip"
    with zipfile.ZipFile(sample, "w") as archive:
        for name in ("docs/readme.txt", "x.tmp", "work/on.it"):
            archive.writestr(name, "x")
    _, names = run(place, program, blocks("artifacts.md", "toml")[0], sample)
    assert names == ["artifacts/docs/readme.txt"]


def test_the_plugin_that_logs(place: Place) -> None:
    [program] = blocks("logs.md", "python")
    manifest, _ = run(place, program, ABOUT, place.sample(b"abc"))
    text = place.malbox("logs", "--manifest", manifest, "--task", 1).out
    assert [line.partition(" | ")[2] for line in text.splitlines()] == [
        "task 1 | looking at sample",
        "task 1 | WARNING parser: no header",
    ]


@pytest.mark.parametrize("block", blocks("artifacts.md", "toml"))
def test_nothing_is_wrong_with_a_plugin_toml(block: str) -> None:
    findings = Findings()
    parse_plugin_file(tomllib.loads(block), findings)
    assert findings.found == []
