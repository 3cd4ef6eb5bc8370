"""The blocks that a section of a report is made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from plugin_runtime.report.checks import (
    check_flag,
    check_integer,
    check_optional_text,
    check_text,
    checked_items,
    json_copy,
    without_none,
)
from plugin_runtime.report.values import (
    Column,
    GraphEdge,
    GraphNode,
    Indicator,
    KvPair,
    TimelineEvent,
    TreeNode,
    Ttp,
)

__all__ = ["Block"]

_CALLOUT_LEVELS = ("info", "success", "warn", "error")
_MAX_OFFSET = 2**64 - 1


class _Listed(Protocol):
    def as_json_object(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, init=False)
class Block:
    """A piece of a section. The static methods make one; each raises TypeError or ValueError for what it cannot show.

    Attributes:
        type: Which block it is, as the report's JSON spells it.
    """

    type: str
    _entries: Mapping[str, Any]

    def __init__(self, kind: str, /, **entries: Any) -> None:  # noqa: ANN401 - what is in a block depends on its type
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "_entries", entries)

    def as_json_object(self) -> dict[str, Any]:
        """Return the object that stands for it in the report's JSON."""
        return {"type": self.type, **self._entries}

    @staticmethod
    def markdown(text: str) -> "Block":
        """Return text in Markdown."""
        check_text("markdown text", text)
        return Block("markdown", text=text)

    @staticmethod
    def callout(level: str, text: str) -> "Block":
        """Return a line that stands out; `level` is info, success, warn or error."""
        if level not in _CALLOUT_LEVELS:
            raise ValueError(f"callout level is one of {', '.join(_CALLOUT_LEVELS)}, not {level!r}")
        check_text("callout text", text)
        return Block("callout", level=level, text=text)

    @staticmethod
    def heading(level: int, text: str) -> "Block":
        """Return a heading of level 1 to 6."""
        check_integer("heading level", level, 1, 6)
        check_text("heading text", text)
        return Block("heading", level=level, text=text)

    @staticmethod
    def divider() -> "Block":
        """Return a line between blocks."""
        return Block("divider")

    @staticmethod
    def kv(pairs: Iterable[KvPair]) -> "Block":
        """Return a list of keys and values."""
        return Block("kv", pairs=_objects(checked_items("kv pairs", pairs, KvPair)))

    @staticmethod
    def table(
        columns: Iterable[Column],
        rows: Iterable[dict[str, Any]],
        sortable: bool = False,
        searchable: bool = False,
    ) -> "Block":
        """Return a table; each row has a cell for the key of each column, or leaves it empty by leaving it out."""
        check_flag("table sortable", sortable)
        check_flag("table searchable", searchable)
        checked_columns = _objects(checked_items("table columns", columns, Column))
        checked_rows = json_copy("table rows", checked_items("table rows", rows, dict))
        return Block("table", columns=checked_columns, rows=checked_rows, sortable=sortable, searchable=searchable)

    @staticmethod
    def code(language: str, text: str) -> "Block":
        """Return source text of a language."""
        check_text("code language", language)
        check_text("code text", text)
        return Block("code", language=language, text=text)

    @staticmethod
    def json(data: Any, collapsed: bool = False) -> "Block":  # noqa: ANN401 - whatever JSON can hold
        """Return any JSON value, shown folded where `collapsed` is true."""
        check_flag("json collapsed", collapsed)
        return Block("json", data=json_copy("json data", data), collapsed=collapsed)

    @staticmethod
    def hex(bytes_b64: str, offset: int) -> "Block":
        """Return a hex dump of the bytes that `bytes_b64` is the Base64 of, the first of them at `offset`."""
        check_text("hex bytes_b64", bytes_b64)
        check_integer("hex offset", offset, 0, _MAX_OFFSET)
        return Block("hex", bytes_b64=bytes_b64, offset=offset)

    @staticmethod
    def image(artifact: str, caption: str | None = None) -> "Block":
        """Return a picture, which is the result of the name `artifact`."""
        check_text("image artifact", artifact)
        check_optional_text("image caption", caption)
        return Block("image", **without_none({"artifact": artifact, "caption": caption}))

    @staticmethod
    def download(artifact: str, label: str) -> "Block":
        """Return a link to the result of the name `artifact`."""
        check_text("download artifact", artifact)
        check_text("download label", label)
        return Block("download", artifact=artifact, label=label)

    @staticmethod
    def iocs(items: Iterable[Indicator]) -> "Block":
        """Return a list of indicators."""
        return Block("iocs", items=_objects(checked_items("iocs items", items, Indicator)))

    @staticmethod
    def ttps(items: Iterable[Ttp]) -> "Block":
        """Return a list of techniques."""
        return Block("ttps", items=_objects(checked_items("ttps items", items, Ttp)))

    @staticmethod
    def tree(nodes: Iterable[TreeNode]) -> "Block":
        """Return a tree, or several."""
        checked = checked_items("tree nodes", nodes, TreeNode)
        try:
            return Block("tree", nodes=_objects(checked))
        except RecursionError as error:
            raise ValueError("tree nodes are nested too deep to be written as JSON") from error

    @staticmethod
    def timeline(events: Iterable[TimelineEvent]) -> "Block":
        """Return what happened, in the order given."""
        return Block("timeline", events=_objects(checked_items("timeline events", events, TimelineEvent)))

    @staticmethod
    def graph(nodes: Iterable[GraphNode], edges: Iterable[GraphEdge]) -> "Block":
        """Return nodes and the edges between them."""
        checked_nodes = _objects(checked_items("graph nodes", nodes, GraphNode))
        checked_edges = _objects(checked_items("graph edges", edges, GraphEdge))
        return Block("graph", nodes=checked_nodes, edges=checked_edges)


def _objects(items: Iterable[_Listed]) -> list[dict[str, Any]]:
    return [item.as_json_object() for item in items]
