"""Who may import what, and who may spawn and signal: an allow-list that names the line that breaks it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGES = ("plugin_runtime", "malbox_cli")

PURE = (
    "plugin_runtime/collecting.py",
    "plugin_runtime/environment.py",
    "plugin_runtime/errors.py",
    "plugin_runtime/globs.py",
    "plugin_runtime/health.py",
    "plugin_runtime/lifecycle.py",
    "plugin_runtime/log_filter.py",
    "plugin_runtime/ports/domain.py",
    "plugin_runtime/report/blocks.py",
    "plugin_runtime/report/checks.py",
    "plugin_runtime/report/values.py",
    "plugin_runtime/wire/",
    "malbox_cli/client/joining.py",
    "malbox_cli/control/answers.py",
    "malbox_cli/control/json_text.py",
    "malbox_cli/control/messages.py",
    "malbox_cli/control/news.py",
    "malbox_cli/control/problems.py",
    "malbox_cli/control/records.py",
    "malbox_cli/control/replay.py",
    "malbox_cli/doctor/checks.py",
    "malbox_cli/manifest/assemble.py",
    "malbox_cli/manifest/collect_keys.py",
    "malbox_cli/manifest/cpus.py",
    "malbox_cli/manifest/debugged.py",
    "malbox_cli/manifest/dependencies.py",
    "malbox_cli/manifest/env_file.py",
    "malbox_cli/manifest/environment.py",
    "malbox_cli/manifest/files.py",
    "malbox_cli/manifest/findings.py",
    "malbox_cli/manifest/host.py",
    "malbox_cli/manifest/instances.py",
    "malbox_cli/manifest/json_path.py",
    "malbox_cli/manifest/lifetime.py",
    "malbox_cli/manifest/lines.py",
    "malbox_cli/manifest/manifest_file.py",
    "malbox_cli/manifest/new_plugin.py",
    "malbox_cli/manifest/order.py",
    "malbox_cli/manifest/plugin_file.py",
    "malbox_cli/manifest/process_keys.py",
    "malbox_cli/manifest/program.py",
    "malbox_cli/manifest/secrets.py",
    "malbox_cli/manifest/select.py",
    "malbox_cli/manifest/smoke_keys.py",
    "malbox_cli/manifest/specs.py",
    "malbox_cli/manifest/subscriptions.py",
    "malbox_cli/manifest/suggest.py",
    "malbox_cli/manifest/table.py",
    "malbox_cli/manifest/task_keys.py",
    "malbox_cli/manifest/tasking.py",
    "malbox_cli/manifest/toml_text.py",
    "malbox_cli/manifest/units.py",
    "malbox_cli/manifest/unsupported.py",
    "malbox_cli/output/log_text.py",
    "malbox_cli/output/moments.py",
    "malbox_cli/output/plan.py",
    "malbox_cli/output/report.py",
    "malbox_cli/output/task_text.py",
    "malbox_cli/output/text.py",
    "malbox_cli/smoke/judge.py",
    "malbox_cli/smoke/junit.py",
    "malbox_cli/store/entries.py",
    "malbox_cli/store/ledger_rows.py",
    "malbox_cli/store/log_format.py",
    "malbox_cli/store/names.py",
    "malbox_cli/store/task_states.py",
    "malbox_cli/supervisor/actions.py",
    "malbox_cli/supervisor/allowance.py",
    "malbox_cli/supervisor/board.py",
    "malbox_cli/supervisor/demand.py",
    "malbox_cli/supervisor/dependencies.py",
    "malbox_cli/supervisor/desk.py",
    "malbox_cli/supervisor/diagnosis.py",
    "malbox_cli/supervisor/dispatcher.py",
    "malbox_cli/supervisor/endings.py",
    "malbox_cli/supervisor/entrance.py",
    "malbox_cli/supervisor/events.py",
    "malbox_cli/supervisor/exit_status.py",
    "malbox_cli/supervisor/heartbeat_slots.py",
    "malbox_cli/supervisor/intake.py",
    "malbox_cli/supervisor/ladder.py",
    "malbox_cli/supervisor/ledger_gate.py",
    "malbox_cli/supervisor/lives.py",
    "malbox_cli/supervisor/limits.py",
    "malbox_cli/supervisor/log_lines.py",
    "malbox_cli/supervisor/machine.py",
    "malbox_cli/supervisor/plugin_state.py",
    "malbox_cli/supervisor/plugins.py",
    "malbox_cli/supervisor/pools.py",
    "malbox_cli/supervisor/recovery.py",
    "malbox_cli/supervisor/reload.py",
    "malbox_cli/supervisor/restart.py",
    "malbox_cli/supervisor/sample_events.py",
    "malbox_cli/supervisor/service_status.py",
    "malbox_cli/supervisor/start_errors.py",
    "malbox_cli/supervisor/task_ids.py",
    "malbox_cli/supervisor/task_rules.py",
    "malbox_cli/supervisor/tasks.py",
    "malbox_cli/supervisor/verdict.py",
    "malbox_cli/supervisor/vitals.py",
)
"""What decides or knows formats: no I/O, no clock, no thread, no log. A folder ends in a slash."""

IMPURE = {
    *("asyncio", "click", "concurrent", "fcntl", "iceoryx2", "io", "logging", "mmap", "multiprocessing", "os"),
    *("psutil", "queue", "random", "rich", "secrets", "select", "selectors", "shutil", "socket", "sqlite3"),
    *("subprocess", "tempfile", "threading", "time"),
}
IMPURE_CALLS = {"open", "input", "print"}

MAY_IMPORT = {
    "iceoryx2": ("plugin_runtime/ports/iceoryx",),
    "click": ("malbox_cli/cli.py", "malbox_cli/commands/"),
    "debugpy": ("plugin_runtime/debugger.py",),
    "dotenv": ("malbox_cli/manifest/dotenv_text.py",),
    "subprocess": (
        "malbox_cli/supervisor/processes.py",
        "malbox_cli/supervisor/launch.py",  # the type of a helper
    ),
    "multiprocessing": (),
    "pytest": ("plugin_runtime/pytest_plugin.py",),
    "psutil": ("malbox_cli/commands/",),
    "rich": ("malbox_cli/commands/", "malbox_cli/output/"),
    "sqlite3": ("malbox_cli/store/ledger",),
    "systemd_watchdog": ("malbox_cli/supervisor/systemd.py",),
    "watchfiles": ("malbox_cli/commands/changes.py",),
}
"""Foreign modules, and the files (or folders, or beginnings of names) that meet them."""

SIGNALLING = {
    *("fork", "forkpty", "kill", "killpg", "pidfd_send_signal", "popen", "posix_spawn", "posix_spawnp"),
    *("pthread_kill", "raise_signal", "send_signal", "system", "terminate"),
}
MAY_SIGNAL = {
    "malbox_cli/supervisor/processes.py": SIGNALLING,
    "malbox_cli/supervisor/guardian.py": {"killpg"},
    "malbox_cli/supervisor/strays.py": {"pidfd_send_signal"},
    "plugin_runtime/process.py": {"kill"},  # itself, with the signal that it took
}


@dataclass(frozen=True)
class Import:
    """One import, wherever in a file it stands."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def files() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((TOP / package).rglob("*.py"))]
    assert len(found) > 60
    return found


def name_of(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def imports_of(path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(name_of(path), node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} is a relative import"
            module = node.module or ""
            yield Import(name_of(path), node.lineno, module)
            yield from (Import(name_of(path), node.lineno, f"{module}.{alias.name}") for alias in node.names)


def every_import() -> list[Import]:
    return [each for path in files() for each in imports_of(path)]


def is_in(file: str, places: tuple[str, ...]) -> bool:
    return any(file.startswith(place) if not place.endswith(".py") else file == place for place in places)


def is_module(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def broken(offences: list[str]) -> str:
    return "\n" + "\n".join(dict.fromkeys(offences))


def test_the_runtime_never_imports_the_supervisor() -> None:
    offences = [
        str(each)
        for each in every_import()
        if each.file.startswith("plugin_runtime/") and is_module(each.module, "malbox_cli")
    ]
    assert not offences, broken(offences)


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_a_foreign_module_is_met_only_where_it_may_be(module: str) -> None:
    places = MAY_IMPORT[module]
    users = [each for each in every_import() if is_module(each.module, module)]
    offences = [str(each) for each in users if not is_in(each.file, places)]
    assert not offences, broken(offences)
    unused = [place for place in places if not any(is_in(each.file, (place,)) for each in users)]
    assert not unused, f"nobody there imports {module} any more: {unused}"


def test_only_one_file_and_the_helpers_spawn_and_signal() -> None:
    offences, used = [], set()
    for path in files():
        allowed = MAY_SIGNAL.get(name_of(path), set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = node.func.attr
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called = node.func.id
            else:
                continue
            if called in SIGNALLING & allowed:
                used.add(name_of(path))
            elif called in SIGNALLING:
                offences.append(f"{name_of(path)}:{node.lineno} calls {called}")
    assert not offences, broken(offences)
    assert used == set(MAY_SIGNAL), "some that may signal do not any more"


def test_the_files_that_are_pure_are_there() -> None:
    missing = [place for place in PURE if not (TOP / place).exists()]
    assert not missing


def pure_files() -> list[Path]:
    return [path for path in files() if is_in(name_of(path), PURE)]


def test_what_is_pure_imports_nothing_that_does_something() -> None:
    offences = [
        str(each) for path in pure_files() for each in imports_of(path) if each.module.partition(".")[0] in IMPURE
    ]
    assert not offences, broken(offences)


def test_what_is_pure_calls_nothing_that_does_something() -> None:
    offences = [
        f"{name_of(path)}:{node.lineno} calls {node.func.id}"
        for path in pure_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]
    assert not offences, broken(offences)


def test_what_is_pure_imports_of_ours_only_what_is_pure_too() -> None:
    modules = {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files()}
    pure = {
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in [*pure_files(), *(path for path in files() if path.name == "__init__.py")]
    }
    offences = [
        str(each)
        for path in pure_files()
        for each in imports_of(path)
        if each.module in modules and each.module not in pure
    ]
    assert not offences, broken(offences)


@pytest.mark.parametrize("name", ["guardian", "launcher", "strays"])
def test_a_helper_needs_nothing_but_the_standard_library(name: str) -> None:
    offences = [
        str(each)
        for each in imports_of(TOP / f"malbox_cli/supervisor/{name}.py")
        if each.module.partition(".")[0] not in sys.stdlib_module_names
        and not is_module(each.module, "malbox_cli.supervisor.strays")
    ]
    assert not offences, broken(offences)


def test_a_broken_rule_is_named_with_its_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TOP", tmp_path)
    path = tmp_path / "a.py"
    path.write_text("import json\n\ndef f():\n    from os import path\n")
    assert [str(each) for each in imports_of(path)] == [
        "a.py:1 imports json",
        "a.py:4 imports os",
        "a.py:4 imports os.path",
    ]
