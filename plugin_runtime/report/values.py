"""The values that a report is made of: the verdict's scales and what its lists hold. Each checks itself when made."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from plugin_runtime.report.checks import (
    check_flag,
    check_optional_text,
    check_text,
    checked_items,
    json_copy,
    without_none,
)

__all__ = [
    "ArtifactRef",
    "Classification",
    "Column",
    "Confidence",
    "GraphEdge",
    "GraphNode",
    "Indicator",
    "KvPair",
    "TimelineEvent",
    "TreeNode",
    "Ttp",
    "worst",
]


class Classification(Enum):
    """What a plugin takes a sample for; its value is how the report's JSON spells it."""

    Clean = "clean"
    Suspicious = "suspicious"
    Malicious = "malicious"
    Unknown = "unknown"

    @property
    def severity(self) -> int:
        """Its rank where verdicts add up: clean 0, unknown 1, suspicious 2, malicious 3."""
        return _BY_SEVERITY.index(self)


_BY_SEVERITY = (
    Classification.Clean,
    Classification.Unknown,
    Classification.Suspicious,
    Classification.Malicious,
)


def worst(classifications: Iterable[Classification]) -> Classification:
    """Return the one of the highest severity, and unknown where there is none: nobody has looked."""
    return max(classifications, key=lambda one: one.severity, default=Classification.Unknown)


class Confidence(Enum):
    """How sure a plugin is of its verdict; its value is how the report's JSON spells it."""

    Low = "low"
    Medium = "medium"
    High = "high"


@dataclass(frozen=True, slots=True)
class Indicator:
    """Something by which the sample can be recognised elsewhere: a hash, an address, a file name.

    Attributes:
        kind: What it is, such as ``sha256``, ``domain`` or ``yara_rule``.
        value: The indicator itself.
        context: Where it was found, if that is worth saying.
        first_seen: When, as text.
    """

    kind: str
    value: str
    context: str | None = None
    first_seen: str | None = None

    def __post_init__(self) -> None:
        check_text("Indicator kind", self.kind)
        check_text("Indicator value", self.value)
        check_optional_text("Indicator context", self.context)
        check_optional_text("Indicator first_seen", self.first_seen)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none(
            {"kind": self.kind, "value": self.value, "context": self.context, "first_seen": self.first_seen}
        )


@dataclass(frozen=True, slots=True)
class Ttp:
    """A technique of MITRE ATT&CK that was seen, such as T1055 "Process Injection", and what showed it."""

    id: str
    name: str
    evidence: str | None = None

    def __post_init__(self) -> None:
        check_text("Ttp id", self.id)
        check_text("Ttp name", self.name)
        check_optional_text("Ttp evidence", self.evidence)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"id": self.id, "name": self.name, "evidence": self.evidence})


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A pointer to another result of the same task, by the name it was pushed under."""

    result_name: str
    kind: str
    description: str | None = None

    def __post_init__(self) -> None:
        check_text("ArtifactRef result_name", self.result_name)
        check_text("ArtifactRef kind", self.kind)
        check_optional_text("ArtifactRef description", self.description)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"result_name": self.result_name, "kind": self.kind, "description": self.description})


@dataclass(frozen=True, slots=True)
class KvPair:
    """A line of a key-value block; `mono` asks for a font of fixed width."""

    key: str
    value: str
    mono: bool = False

    def __post_init__(self) -> None:
        check_text("KvPair key", self.key)
        check_text("KvPair value", self.value)
        check_flag("KvPair mono", self.mono)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"key": self.key, "value": self.value, "mono": self.mono or None})


@dataclass(frozen=True, slots=True, init=False)
class Column:
    """A column of a table: the key of its cells in each row, its heading, and the type of what is in it.

    Attributes:
        key: The key of its cells in each row.
        label: Its heading.
        col_type: A hint for showing it: ``string``, ``number``, ``bool``, ``datetime`` or one of the reader's own.
    """

    key: str
    label: str
    col_type: str

    def __init__(self, key: str, label: str, type: str = "string") -> None:  # noqa: A002 - the author's API names it so
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "col_type", type)
        check_text("Column key", key)
        check_text("Column label", label)
        check_text("Column type", self.col_type)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return {"key": self.key, "label": self.label, "type": self.col_type}


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A node of a tree block with the nodes below it, which are kept as a tuple."""

    label: str
    children: Iterable["TreeNode"] | None = None
    meta: Any = None

    def __post_init__(self) -> None:
        check_text("TreeNode label", self.label)
        children = () if self.children is None else checked_items("TreeNode children", self.children, TreeNode)
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "meta", json_copy("TreeNode meta", self.meta))

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it and everything below it in the report's JSON."""
        children = [child.as_json_object() for child in self.children or ()]
        return without_none({"label": self.label, "children": children or None, "meta": self.meta})


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened at a time, which is written as text."""

    ts: str
    label: str
    severity: str | None = None
    meta: Any = None

    def __post_init__(self) -> None:
        check_text("TimelineEvent ts", self.ts)
        check_text("TimelineEvent label", self.label)
        check_optional_text("TimelineEvent severity", self.severity)
        object.__setattr__(self, "meta", json_copy("TimelineEvent meta", self.meta))

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"ts": self.ts, "label": self.label, "severity": self.severity, "meta": self.meta})


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node of a graph block, which edges name by its `id`."""

    id: str
    label: str
    meta: Any = None

    def __post_init__(self) -> None:
        check_text("GraphNode id", self.id)
        check_text("GraphNode label", self.label)
        object.__setattr__(self, "meta", json_copy("GraphNode meta", self.meta))

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"id": self.id, "label": self.label, "meta": self.meta})


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """An edge of a graph block, from one node's `id` to another's."""

    from_node: str
    to_node: str
    label: str | None = None

    def __post_init__(self) -> None:
        check_text("GraphEdge from_node", self.from_node)
        check_text("GraphEdge to_node", self.to_node)
        check_optional_text("GraphEdge label", self.label)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return without_none({"from": self.from_node, "to": self.to_node, "label": self.label})
