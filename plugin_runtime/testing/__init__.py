"""The test kit: run a plugin object on a sample in the same process, without a supervisor, and look at what it sent.

With pytest nothing has to be imported: the fixtures `run_plugin` and `malbox_plugin` are there where malbox
is installed. `RunPlugin` and `MalboxPlugin` are their types. ``docs/testing.md`` shows all of it.
"""

from plugin_runtime.testing.kinds import MalboxPlugin, RunPlugin
from plugin_runtime.testing.outcome import Pushed, Step, TaskRun
from plugin_runtime.testing.reports import Report, Section
from plugin_runtime.testing.tester import PluginTester, RunningTask, run_plugin

__all__ = [
    "MalboxPlugin",
    "PluginTester",
    "Pushed",
    "Report",
    "RunPlugin",
    "RunningTask",
    "Section",
    "Step",
    "TaskRun",
    "run_plugin",
]
