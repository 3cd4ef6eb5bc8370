"""What the guide to tests shows runs as it stands."""

import json
import re
import subprocess
import sys
from pathlib import Path

GUIDE = (Path(__file__).resolve().parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found
    return found


def lines(text: str) -> list[str]:
    """Return what is printed without its times; in which order tests end is not said."""
    return sorted(re.sub(r"\(.*\)", "()", text).splitlines())


def test_the_guides_unit_tests_pass(tmp_path: Path) -> None:
    plugin, *tests = blocks("python")
    (tmp_path / "main.py").write_text(plugin)
    for number, text in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(text)

    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(text.count("\ndef test_") for text in tests)
    assert f"{count} passed" in done.stdout


def test_the_guides_smoke_tests_pass(tmp_path: Path) -> None:
    (manifest,) = blocks("toml")
    (command,) = blocks("sh")
    folder = tmp_path / "strings"
    folder.mkdir()
    (folder / "main.py").write_text(blocks("python")[0])
    (folder / "plugin.toml").write_text('[plugin]\nname = "strings"\nversion = "1.0.0"\ntype = "host"\n')
    (tmp_path / "plugins.toml").write_text(manifest)

    def malbox(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "malbox_cli.cli", *arguments]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    checked = json.loads(malbox("check", "--json").stdout)
    done = malbox(*command.split()[1:])

    assert (checked["ok"], checked["problems"]) == (True, [])
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.search(r"^```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert lines(done.stdout + done.stderr) == lines(shown[1])
    assert (tmp_path / "smoke.xml").exists()
