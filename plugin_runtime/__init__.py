"""Write a malbox plugin: derive from `Plugin`, override `on_task`, and call `run`.

Everything that a plugin's author needs is in this namespace; the submodules are malbox's own.
"""

from plugin_runtime.context import Context, TaskInfo
from plugin_runtime.errors import ResultRefused, SupervisorGone, TaskCancelled
from plugin_runtime.event import Event
from plugin_runtime.health import HealthStatus
from plugin_runtime.log import debug, error, info, trace, warn
from plugin_runtime.plugin import Plugin
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
from plugin_runtime.run import run
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
