"""What the guides for authors show can be done as it stands: files are written, commands run and print what is said."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`([\w-]+/[\w.]+|[\w-]+\.\w+|Dockerfile)`")
"""The name of a file, the last one in the paragraph before what is in it."""

COMMANDS = "sh"
NOT_RUN = ("diff",)


def read(document: str) -> str:
    return (DOCS / document).read_text(encoding="utf-8")


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """Return each block: its language, the name of its file where it has one, and what is in it."""
    before = 0
    for block in BLOCK.finditer(text):
        paragraph = text[before : block.start()].strip().rpartition("\n\n")[2]
        yield block[1], (NAME.findall(paragraph) or [""])[-1], block[2]
        before = block.end()


def follow(text: str, folder: Path) -> int:
    """Do what a guide shows, from its first block to its last; return how many commands that were."""
    printed, commands = "", 0
    tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "100"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALBOX_")} | tools
    for language, name, content in steps(text):
        if language in NOT_RUN:
            continue
        if language == COMMANDS:
            done = subprocess.run(
                ["bash", "-ec", content],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=90,
            )
            printed = done.stdout
            assert done.returncode == 0, f"{content}\n{printed}"
            commands += 1
        elif language == "text":
            lines = [line.strip() for line in printed.splitlines()]
            for line in content.splitlines():
                assert line in lines, f"{line!r} is not in\n{printed}"
        else:
            assert name, f"no file is named before\n{content}"
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return commands


@pytest.mark.parametrize(("document", "commands"), [("plugins.md", 5), ("moving.md", 2)])
def test_a_guide_can_be_followed(document: str, commands: int, tmp_path: Path) -> None:
    assert follow(read(document), tmp_path) == commands


def section(heading: str) -> str:
    return read("comparison.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_plugin_of_the_comparison_runs(tmp_path: Path) -> None:
    assert follow(section("malbox"), tmp_path) == 1


def lines_of(heading: str, *, without: tuple[str, ...] = ()) -> int:
    """Return how many lines of files a section has that are not empty."""
    return sum(
        sum(bool(line.strip()) for line in content.splitlines())
        for language, _, content in steps(section(heading))
        if language not in (COMMANDS, *without)
    )


def test_the_lines_of_the_comparison_are_counted_right() -> None:
    row = re.search(r"^\| lines of files to write \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", read("comparison.md"), re.M)
    assert row is not None
    counted = [
        lines_of("Karton"),
        lines_of("Assemblyline"),
        lines_of("Assemblyline", without=("dockerfile",)),
        lines_of("malbox"),
    ]
    assert [int(number) for number in row.groups()] == counted
