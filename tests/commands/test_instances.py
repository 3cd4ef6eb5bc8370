"""What the commands make of plugins that run as several processes: a name means all of them, an id one."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from malbox_cli.commands import check, logs, up
from malbox_cli.commands.common import chosen, load, to_start
from malbox_cli.store.log_file import append, log_folder
from malbox_cli.store.log_format import LogEntry, to_block

TEXT = """\
[plugins.unpack]
command = ["{python}"]

[plugins.yara]
command = ["{python}"]
instances = 3
after = ["unpack"]

[plugins.report]
command = ["{python}"]
after = ["yara"]
"""
YARAS = ["yara-1", "yara-2", "yara-3"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "plugins.toml"
    path.write_text(TEXT)
    return path


def run(command: click.Command, manifest: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--manifest", str(manifest), *arguments])


def test_check_counts_plugins_and_says_how_many_instances(manifest: Path) -> None:
    done = run(check.command, manifest)
    assert done.exit_code == 0
    assert done.output == f"{manifest}: 3 plugin(s) can be started: unpack, yara (3 instances), report\n"

    plugins = json.loads(run(check.command, manifest, "--json").output)["plugins"]
    assert [(row["id"], row["group"]) for row in plugins] == [
        ("unpack", "unpack"),
        *((name, "yara") for name in YARAS),
        ("report", "report"),
    ]
    assert plugins[1]["argv"] == [sys.executable]


@pytest.mark.parametrize(
    ("names", "given", "started"),
    [
        ((), ["unpack", *YARAS, "report"], ["unpack", *YARAS, "report"]),
        (("yara",), YARAS, ["unpack", *YARAS]),
        (("yara-2",), ["yara-2"], ["unpack", "yara-2"]),
        (("yara-3", "yara-1", "unpack"), ["unpack", "yara-1", "yara-3"], ["unpack", "yara-1", "yara-3"]),
        (("report",), ["report"], ["unpack", *YARAS, "report"]),
    ],
)
def test_a_name_chooses_all_instances_and_an_id_one(
    manifest: Path, names: Sequence[str], given: list[str], started: list[str]
) -> None:
    read = load(manifest)
    assert [spec.id for spec in chosen(read, names)] == given
    assert [spec.id for spec in to_start(read, names)] == started


def test_an_instance_that_is_not_there_is_refused_with_the_plugin_that_is(manifest: Path) -> None:
    done = run(up.command, manifest, "--dry-run", "yara-4")
    assert done.exit_code == 2
    assert f"{manifest} has no plugin 'yara-4' (did you mean 'yara'?)" in done.output
    assert f"{manifest} has no plugin 'zz'; it has unpack, yara, report" in run(up.command, manifest, "zz").output


def test_the_plan_has_one_block_for_all_instances(manifest: Path) -> None:
    done = run(up.command, manifest, "--dry-run")
    assert [line for line in done.output.splitlines() if line and not line.startswith(" ")] == [
        "1. unpack",
        "2. yara (3 instances: yara-1, yara-2, yara-3)",
        "3. report",
    ]
    assert "  after    yara\n" in done.output


def test_more_than_can_run_at_once_are_refused_with_their_number(manifest: Path) -> None:
    manifest.write_text(TEXT.replace("instances = 3", "instances = 64"))
    done = run(up.command, manifest, "--dry-run")
    assert done.exit_code == 2
    fault = "these are 66 processes, and one supervisor can have 65, each instance counted"
    assert f"{manifest}: {fault}; lower `instances`, or name fewer plugins" in done.output
    assert run(up.command, manifest, "--dry-run", "yara").exit_code == 0
    assert "note:" in run(check.command, manifest).output


def shown(manifest: Path, *arguments: str) -> list[str]:
    done = run(logs.command, manifest, "--raw", *arguments)
    assert done.exit_code == 0, done.output
    return done.output.split()


def test_logs_of_a_name_are_those_of_all_instances(manifest: Path) -> None:
    folder = log_folder(manifest.parent / ".malbox")
    folder.mkdir(parents=True)
    # The log called yara is from when it had no instances.
    for at, name in enumerate(("unpack", "yara", *YARAS, "yara-9"), 1):
        append(folder, name, [to_block(LogEntry(at, name, "output", f"{name}\n".encode()))])

    assert shown(manifest, "yara") == ["yara", *YARAS]
    assert shown(manifest, "yar?") == ["yara", *YARAS]
    assert shown(manifest, "yara-2") == ["yara-2"]
    assert shown(manifest, "yara-9") == ["yara-9"]
    assert shown(manifest, "yara", "unpack", "-n", "1") == ["yara-3"]
    assert shown(manifest) == ["unpack", "yara", *YARAS, "yara-9"]
    refused = run(logs.command, manifest, "zz")
    assert "has no plugin 'zz'; there are unpack, yara, report" in refused.output


def test_an_instance_that_has_no_log_yet_is_known(manifest: Path) -> None:
    done = run(logs.command, manifest, "yara-1")
    assert str(done.exception).startswith("there is no log of yara-1 in ")
