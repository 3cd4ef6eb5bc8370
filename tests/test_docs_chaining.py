"""The plugins and the manifest in the guide to chaining run as they stand."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

GUIDE = (Path(__file__).resolve().parent.parent / "docs" / "chaining.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_guide_to_chaining_runs_as_it_stands(tmp_path: Path) -> None:
    manifest, (command,) = blocks("toml")[0], blocks("sh")
    out = tmp_path / "urls.txt"
    (tmp_path / "plugins.toml").write_text(manifest.replace("urls.txt", str(out)))
    for name, code in zip(("words", "urls"), blocks("python")[:2], strict=True):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(code)
        (folder / "plugin.toml").write_text(f'[plugin]\nname = "{name}"\nversion = "0.1.0"\ntype = "host"\n')
    (tmp_path / "sample").write_bytes(b"\0\1some http://example.org/x and more\0")
    program, *arguments = shlex.split(command)
    assert program == "malbox"
    argv = [sys.executable, "-m", "malbox_cli.cli", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "MALBOX_MANIFEST"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(ast.literal_eval(out.read_text()).values()) == [["http://example.org/x"]]


def test_the_test_in_the_guide_to_chaining_passes(tmp_path: Path) -> None:
    _, urls, test = blocks("python")
    (tmp_path / "urls.py").write_text(urls)
    (tmp_path / "test_urls.py").write_text(test)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_urls.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
