"""What a good manifest says, and that any other text gives a ManifestError and nothing else."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from manifest_disk import HOST, FakeFiles

from malbox_cli.manifest.assemble import Reader
from malbox_cli.manifest.dotenv_text import read_dotenv
from malbox_cli.manifest.files import Files, Kind, Look
from malbox_cli.manifest.load import check_manifest, load_manifest
from malbox_cli.manifest.specs import DeclaredResult, Limits, Manifest, Retries

WriteTree = Callable[[Mapping[str, str]], Path]

FULL = """\
[malbox]
domain = "lab"
state_dir = "state"
stop_timeout = "2s"
ledger = false
copy_samples = true

[plugins.file-info]
path = "plugins/file-info"
config = { max_size = "64MiB", "a key" = "" }
restart = "on-failure"
success_exit_codes = [0, 2]
no_restart_exit_codes = [3]
health_interval = "1m"
heartbeat = "10s"
instances = 1
state = "ephemeral"
spare = true
queue_size = 5
retries = { lost = 2, error = 1 }
cancel_grace = "1s"

[plugins.yara]
command = ["{python}", "-m", "my_plugins.yara", "{python}", "{other}"]
env = { RULES = "rules/" }
env_file = "yara.env"
inherit_env = ["PATH", "LC_*"]
start_timeout = "500ms"
task_timeout = "5m"
after = ["file-info"]
subscribe = []
instances = 2
execution = "parallel"
concurrency = 3
state = "scoped"
scope = ["file-info"]
limits = { memory = "512MiB", cpu_time = "60s", nofile = 256 }
nice = 5
cpus = "0"
"""

PLUGIN_TOML = """\
[plugin]
name = "file_info"
version = "1.2.3-rc.1+build.5"
description = "What a file is"
authors = ["A"]
type = "host"

[runtime]
state = "persistent"
execution = "exclusive"
analysis_timeout = 12.5

[runtime.stash]
threshold_bytes = 4096

[results.report]
description = "For people"
display_name = "Report"
render = "report"

[results."raw data"]
user_visible = false
"""


def test_every_key_is_read(write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    files = {
        "plugins.toml": FULL,
        "plugins/file-info/plugin.toml": PLUGIN_TOML,
        "plugins/file-info/main.py": "",
        "yara.env": "RULES=no\nDEPTH='3'\n",
    }
    folder = write_tree(files)
    manifest, problems = check_manifest(folder / "plugins.toml")
    assert problems == ()
    assert manifest is not None
    assert manifest.path == folder / "plugins.toml"
    assert manifest.domain == "lab"
    assert manifest.state_dir == folder / "state"
    assert manifest.stop_timeout == 2.0

    assert (manifest.ledger, manifest.copy_samples) == (False, True)

    file_info, yara, other = manifest.plugins
    assert other == replace(yara, id="yara-2")
    assert manifest.plugin("file-info") is file_info
    assert manifest.plugin("file_info") is None
    assert (file_info.id, file_info.name, file_info.version) == ("file-info", "file_info", "1.2.3-rc.1+build.5")
    assert file_info.description == "What a file is"
    assert file_info.argv == (sys.executable, str(folder / "plugins/file-info/main.py"))
    assert file_info.cwd == folder / "plugins/file-info"
    assert (file_info.config, file_info.env) == ({"max_size": "64MiB", "a key": ""}, {})
    assert (file_info.start_timeout, file_info.task_timeout, file_info.stash_threshold) == (30.0, 12.5, 4096)
    assert file_info.declared_results == {
        "report": DeclaredResult(description="For people", display_name="Report", render="report"),
        "raw data": DeclaredResult(user_visible=False, display_name="raw data"),
    }

    assert (yara.id, yara.group, yara.name, yara.version, yara.description) == ("yara-1", "yara", "yara", "0.0.0", "")
    assert yara.argv == (sys.executable, "-m", "my_plugins.yara", sys.executable, "{other}")
    assert yara.cwd == folder
    assert (yara.config, yara.env) == ({}, {"RULES": "rules/", "DEPTH": "3"})
    assert (yara.start_timeout, yara.task_timeout, yara.stash_threshold) == (0.5, 300.0, 1 << 20)
    assert yara.declared_results == {}

    assert (file_info.restart, file_info.success_exit_codes, file_info.no_restart_exit_codes) == (
        "on-failure",
        {0, 2},
        {3},
    )
    assert (file_info.health_interval, file_info.heartbeat, file_info.after) == (60.0, 10.0, ())
    assert (yara.after, yara.inherit_env) == (("file-info",), ("PATH", "LC_*"))
    assert yara.limits == Limits(memory=512 << 20, cpu_time=60, nofile=256)
    assert (yara.nice, yara.cpus) == (5, {0})
    assert (file_info.execution, file_info.state, file_info.spare) == ("exclusive", "ephemeral", True)
    assert (file_info.queue_size, file_info.retries, file_info.cancel_grace) == (5, Retries(lost=2, error=1), 1.0)
    assert (yara.execution, yara.concurrency, yara.state, yara.scope) == ("parallel", 3, "scoped", ("file-info",))


def test_what_is_not_said_has_its_default(write_tree: WriteTree) -> None:
    folder = write_tree({"plugins.toml": '[plugins.good]\npath = "good"\n'})
    manifest = load_manifest(folder / "plugins.toml")
    assert (manifest.domain, manifest.state_dir, manifest.stop_timeout) == (None, folder / ".malbox", 10.0)
    assert (manifest.ledger, manifest.copy_samples) == (True, False)
    (spec,) = manifest.plugins
    assert (spec.start_timeout, spec.task_timeout, spec.stash_threshold) == (30.0, 300.0, 1 << 20)
    assert (spec.restart, spec.success_exit_codes, spec.no_restart_exit_codes) == ("no", {0}, frozenset())
    assert (spec.health_interval, spec.heartbeat, spec.after) == (30.0, None, ())
    assert (spec.env, spec.inherit_env, spec.limits, spec.nice, spec.cpus) == ({}, True, Limits(), 0, None)
    assert (spec.execution, spec.concurrency, spec.state, spec.spare) == ("sequential", 1, "persistent", False)
    assert (spec.queue_size, spec.retries, spec.cancel_grace) == (1000, Retries(lost=1, error=0), 5.0)


def test_the_manifest_decides_over_plugin_toml(write_tree: WriteTree) -> None:
    text = '[plugins.good]\npath = "good"\ntask_timeout = "7s"\ncommand = ["{python}", "{plugin_dir}/other.py"]\n'
    about = '[plugin]\nname = "n"\nversion = "1.0.0"\ntype = "host"\nbinary = "x"\n[runtime]\nanalysis_timeout = 5\n'
    folder = write_tree({"plugins.toml": text, "good/plugin.toml": about})
    (spec,) = load_manifest(folder / "plugins.toml").plugins
    assert spec.task_timeout == 7.0
    assert spec.argv == (sys.executable, str(folder / "good/other.py"))
    assert spec.cwd == folder / "good"


def test_a_relative_manifest_gives_absolute_paths(write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tree({"plugins.toml": '[plugins.good]\npath = "good"\n'})
    monkeypatch.chdir(folder / "good")
    manifest = load_manifest(Path("../plugins.toml"))
    assert manifest.path.is_absolute()
    assert manifest.state_dir.is_absolute()
    assert manifest.plugins[0].cwd.samefile(folder / "good")
    assert os.path.samefile(manifest.plugins[0].argv[1], folder / "good/main.py")


def test_a_byte_order_mark_is_no_part_of_the_text(write_tree: WriteTree) -> None:
    folder = write_tree({"plugins.toml": '\ufeff[plugins.good]\npath = "good"\n'})
    assert load_manifest(folder / "plugins.toml").plugin("good") is not None


@pytest.mark.parametrize(
    ("about", "programs", "expected"),
    [
        ('binary = "run"', ("run", "main.py", "d"), ("{dir}/run",)),
        ('binary = "sub/run"', ("sub/run",), ("{dir}/sub/run",)),
        ('binary = "run.py"', ("run.py",), ("{python}", "{dir}/run.py")),
        ("", ("main.py", "d"), ("{python}", "{dir}/main.py")),
        ("", ("d",), ("{dir}/d",)),
    ],
    ids=["binary", "binary_below", "script_as_binary", "main", "named_as_the_folder"],
)
def test_a_folder_runs_its_binary_else_its_main_else_what_is_named_as_it_is(
    about: str, programs: tuple[str, ...], expected: tuple[str, ...], write_tree: WriteTree
) -> None:
    files = {"plugins.toml": '[plugins.a]\npath = "d"\n', "d/plugin.toml": f"[plugin]\n{about}\n"}
    folder = write_tree({**files, **{f"d/{program}": "" for program in programs}})
    for program in programs:
        (folder / "d" / program).chmod(0o755)
    (spec,) = load_manifest(folder / "plugins.toml").plugins
    assert spec.argv == tuple(part.format(dir=folder / "d", python=sys.executable) for part in expected)


def test_a_program_is_looked_up_on_path_or_below_the_manifest(
    write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[plugins.a]\ncommand = ["tool", "x"]\n[plugins.b]\ncommand = ["bin/tool"]\n'
    folder = write_tree({"plugins.toml": text, "bin/tool": ""})
    (folder / "bin/tool").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "bin")
    first, second = load_manifest(folder / "plugins.toml").plugins
    assert first.argv == (str(folder / "bin/tool"), "x")
    assert second.argv == (str(folder / "bin/tool"),)


class SealedFiles(FakeFiles):
    """The same disk, of which some paths cannot be looked at and some cannot be read."""

    def __init__(self, unseen: str = "", unread: str = "") -> None:
        super().__init__(b'[plugins.a]\npath = "p"\n', b"")
        self._unseen, self._unread = Path(unseen), Path(unread)

    def look(self, path: Path) -> Look:
        return Look(Kind.UNREACHABLE, reason="Sealed") if path == self._unseen else super().look(path)

    def read(self, path: Path, limit: int) -> bytes:
        if path == self._unread:
            raise PermissionError(13, "Sealed")
        return super().read(path, limit)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (SealedFiles(unseen="/m/plugins.toml"), "/m/plugins.toml: cannot be read: Sealed"),
        (SealedFiles(unread="/m/plugins.toml"), "/m/plugins.toml: cannot be read: Sealed"),
        (
            SealedFiles(unseen="/m/p"),
            "/m/plugins.toml:2: plugins.a.path: the folder '/m/p' cannot be looked at: Sealed",
        ),
        (
            SealedFiles(unseen="/m/p/plugin.toml"),
            "/m/plugins.toml:2: plugins.a.path: the folder '/m/p' cannot be looked into: Sealed",
        ),
        (SealedFiles(unread="/m/p/plugin.toml"), "/m/p/plugin.toml: cannot be read: Sealed"),
        (
            SealedFiles(unseen="/python"),
            "/m/plugins.toml:2: plugins.a.path: the program '/python' cannot be looked at: Sealed",
        ),
    ],
    ids=["manifest_unseen", "manifest_unread", "folder", "inside", "plugin_toml", "program"],
)
def test_what_the_disk_refuses_is_a_problem_with_its_reason(files: Files, message: str) -> None:
    path = Path("/m/plugins.toml")
    manifest, problems = Reader(path, path, files, HOST, read_dotenv).read()
    assert manifest is None
    assert [str(problem) for problem in problems if problem.severity == "error"] == [message]


def read(manifest: bytes, plugin_toml: bytes = b"") -> None:
    path = Path("/m/plugins.toml")
    result, problems = Reader(path, path, FakeFiles(manifest, plugin_toml), HOST, read_dotenv).read()
    errors = [problem for problem in problems if problem.severity == "error"]
    assert isinstance(result, Manifest) is (not errors)
    assert all(str(problem).isprintable() for problem in problems)
    assert all(problem.line is None or problem.line >= 1 for problem in problems)


_names = st.sampled_from(
    [
        "malbox",
        "plugins",
        "plugin",
        "runtime",
        "events",
        "scope",
        "results",
        "state_dir",
        "domain",
        "stop_timeout",
        "path",
        "command",
        "env",
        "config",
        "start_timeout",
        "task_timeout",
        "instances",
        "concurrency",
        "retries",
        "task_types",
        "ledger",
        "subscribe",
        "restart",
        "limits",
        "env_file",
        "inherit_env",
        "after",
        "nice",
        "cpus",
        "name",
        "version",
        "type",
        "binary",
        "state",
        "execution",
        "stash",
        "threshold_bytes",
        "auto_collect",
        "artifacts",
        "enabled",
        "include",
        "filters",
        "a",
    ]
)
_values = st.one_of(
    st.sampled_from(["p", "python", "{python}", "{plugin_dir}", "5s", "1.0.0", "host", "guest", "parallel", "no", ""]),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.just("python")), max_size=3),
)
_tables = st.recursive(
    _values, lambda below: st.dictionaries(st.one_of(_names, st.text(max_size=3)), below, max_size=6), max_leaves=25
)
_documents = st.dictionaries(_names, _tables, max_size=5)
_plugin = st.dictionaries(_names, _tables, max_size=5).map(lambda table: {"path": "p", **table})
_manifests = st.one_of(
    _documents,
    st.builds(
        lambda plugins, rest: {**rest, "plugins": plugins},
        st.dictionaries(st.one_of(_names, st.text(max_size=3)), _plugin, min_size=1, max_size=3),
        st.dictionaries(st.just("malbox"), _tables, max_size=1),
    ),
)


@given(_manifests, _documents)
def test_any_document_gives_a_manifest_or_its_errors(manifest: dict[str, Any], plugin_toml: dict[str, Any]) -> None:
    read(tomli_w.dumps(manifest).encode(), tomli_w.dumps(plugin_toml).encode())


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_bytes_give_a_manifest_or_its_errors(manifest: bytes, plugin_toml: bytes) -> None:
    read(manifest, plugin_toml)


def _cut(text: str) -> Iterator[str]:
    for end in range(len(text)):
        yield text[:end]
        yield text[:end] + text[end + 1 :]


@pytest.mark.parametrize("text", [FULL, PLUGIN_TOML], ids=["manifest", "plugin.toml"])
def test_a_text_with_a_character_missing_gives_a_manifest_or_its_errors(text: str) -> None:
    for mutilated in _cut(text):
        read(mutilated.encode())
        read(b'[plugins.p]\npath = "p"\n', mutilated.encode())
