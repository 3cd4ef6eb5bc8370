"""Write a malbox plugin: derive from `Plugin`, override `on_task`, and call `run`.

Everything that a plugin's author needs is in this namespace; the submodules are malbox's own. A name is loaded when it
is first used, so that who needs one submodule alone does not pay for all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin_runtime.context import Context, TaskInfo
    from plugin_runtime.errors import ResultRefused, SupervisorGone, TaskCancelled
    from plugin_runtime.event import Event
    from plugin_runtime.health import HealthStatus
    from plugin_runtime.log import debug, error, info, trace, warn
    from plugin_runtime.plugin import Plugin
    from plugin_runtime.process import run
    from plugin_runtime.report import (
        ArtifactRef,
        Block,
        Classification,
        Column,
        Confidence,
        GraphEdge,
        GraphNode,
        Indicator,
        KvPair,
        ReportBuilder,
        SectionBuilder,
        TimelineEvent,
        TreeNode,
        Ttp,
    )
    from plugin_runtime.results import PluginResult
    from plugin_runtime.sink import ResultSink

__all__ = [
    "ArtifactRef",
    "Block",
    "Classification",
    "Column",
    "Confidence",
    "Context",
    "Event",
    "GraphEdge",
    "GraphNode",
    "HealthStatus",
    "Indicator",
    "KvPair",
    "Plugin",
    "PluginResult",
    "ReportBuilder",
    "ResultRefused",
    "ResultSink",
    "SectionBuilder",
    "SupervisorGone",
    "TaskCancelled",
    "TaskInfo",
    "TimelineEvent",
    "TreeNode",
    "Ttp",
    "debug",
    "error",
    "info",
    "run",
    "trace",
    "warn",
]

_MODULES = {
    "context": ("Context", "TaskInfo"),
    "errors": ("ResultRefused", "SupervisorGone", "TaskCancelled"),
    "event": ("Event",),
    "health": ("HealthStatus",),
    "log": ("debug", "error", "info", "trace", "warn"),
    "plugin": ("Plugin",),
    "process": ("run",),  # not in a module `run`, which would take the function's place once it is imported
    "results": ("PluginResult",),
    "sink": ("ResultSink",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'report')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
