"""Load and call the plugins in examples/plugins, which are folders of programs and not packages."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from plugin_runtime import PluginResult, TaskCancelled, TaskInfo

PLUGINS = Path(__file__).resolve().parents[2] / "examples" / "plugins"


def load(plugin: str, module: str) -> ModuleType:
    """Return a module from a plugin's folder; its neighbours can be imported by name, as when it is run."""
    folder = PLUGINS / plugin
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    name = f"{plugin.replace('-', '_')}_main" if module == "main" else module  # each of them has a main
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def run_without(plugin: str, library: str) -> list[str]:
    """Return the command that runs a plugin's program as if a library was not installed."""
    code = (
        "import runpy, sys; sys.modules[sys.argv[2]] = None; sys.path.insert(0, sys.argv[1]);"
        "runpy.run_path(sys.argv[1] + '/main.py', run_name='__main__')"
    )
    return [sys.executable, "-c", code, str(PLUGINS / plugin), library]


class RecordingContext:
    """What a handler sees of a task, as far as these plugins use it; remembers what was pushed and said."""

    def __init__(self, sample: Path, config: dict[str, str] | None = None, *, cancelled: bool = False) -> None:
        self._task = TaskInfo(1, sample, config or {})
        self._cancelled = cancelled
        self.pushed: dict[str, Any] = {}
        self.fractions: list[float] = []

    def task(self) -> TaskInfo:
        """Return the task."""
        return self._task

    def results(self) -> "RecordingContext":
        """Return the sink, which is this object."""
        return self

    def push(self, result: PluginResult) -> None:
        """Remember a JSON result by its name."""
        assert result.name not in self.pushed
        self.pushed[result.name] = json.loads(result.data)

    def progress(self, pct: float, message: str) -> None:
        """Remember the progress."""
        assert message
        self.fractions.append(pct)

    def raise_if_cancelled(self) -> None:
        """Raise what a cancelled task raises."""
        if self._cancelled:
            raise TaskCancelled
