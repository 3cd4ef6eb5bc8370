"""A plugin's report: what it found, for people and for machines, as one JSON result."""

from plugin_runtime.report.blocks import Block
from plugin_runtime.report.builder import REPORT_RESULT_NAME, SCHEMA_VERSION, ReportBuilder, SectionBuilder
from plugin_runtime.report.values import (
    ArtifactRef,
    Classification,
    Column,
    Confidence,
    GraphEdge,
    GraphNode,
    Indicator,
    KvPair,
    TimelineEvent,
    TreeNode,
    Ttp,
    worst,
)

__all__ = [
    "REPORT_RESULT_NAME",
    "SCHEMA_VERSION",
    "ArtifactRef",
    "Block",
    "Classification",
    "Column",
    "Confidence",
    "GraphEdge",
    "GraphNode",
    "Indicator",
    "KvPair",
    "ReportBuilder",
    "SectionBuilder",
    "TimelineEvent",
    "TreeNode",
    "Ttp",
    "worst",
]
