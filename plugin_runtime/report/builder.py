"""Put a report together, step by step, and get the result that carries it."""

from collections.abc import Iterable
from typing import Any, Self

from plugin_runtime.report.blocks import Block
from plugin_runtime.report.checks import check_integer, check_text, checked_items, json_copy, without_none
from plugin_runtime.report.values import ArtifactRef, Classification, Confidence, Indicator, Ttp
from plugin_runtime.results import PluginResult

__all__ = ["REPORT_RESULT_NAME", "SCHEMA_VERSION", "ReportBuilder", "SectionBuilder"]

REPORT_RESULT_NAME = "report"
"""The name of the result that is a plugin's report; there is one of a task."""

SCHEMA_VERSION = 1
"""The version of the report's JSON."""


class ReportBuilder:
    """Collects a report; every method but `build` returns the builder, and what is wrong raises where it is put in."""

    def __init__(self, plugin_id: str, plugin_version: str) -> None:
        check_text("ReportBuilder plugin_id", plugin_id)
        check_text("ReportBuilder plugin_version", plugin_version)
        self._plugin: dict[str, Any] = {"id": plugin_id, "version": plugin_version}
        self._verdict: dict[str, Any] | None = None
        self._labels: list[str] = []
        self._indicators: list[dict[str, Any]] = []
        self._ttps: list[dict[str, Any]] = []
        self._artifacts: list[dict[str, Any]] = []
        self._summary: str | None = None
        self._sections: list[dict[str, Any]] = []
        self._raw: Any = None

    def display_name(self, s: str) -> Self:
        """Set the plugin's name for people."""
        check_text("display_name", s)
        self._plugin["display_name"] = s
        return self

    def summary(self, s: str) -> Self:
        """Set the summary, a sentence or two."""
        check_text("summary", s)
        self._summary = s
        return self

    def verdict(
        self, classification: Classification, score: int | None = None, confidence: Confidence | None = None
    ) -> Self:
        """Set the verdict, in place of one that was set before; labels stay.

        Raises:
            TypeError: An argument is of another type.
            ValueError: `score` is not within 0 to 100.
        """
        if not isinstance(classification, Classification):
            raise TypeError(f"verdict takes a Classification, not {type(classification).__name__}")
        if score is not None:
            check_integer("verdict score", score, 0, 100)
        if confidence is not None and not isinstance(confidence, Confidence):
            raise TypeError(f"verdict takes a Confidence or None, not {type(confidence).__name__}")
        self._verdict = without_none(
            {
                "classification": classification.value,
                "score": score,
                "confidence": None if confidence is None else confidence.value,
            }
        )
        return self

    def labels(self, labels: Iterable[str]) -> Self:
        """Add labels to the verdict, which is unknown where none is set."""
        checked = checked_items("labels", labels, str)
        for label in checked:
            check_text("labels", label)
        self._labels.extend(checked)
        return self

    def indicator(self, i: Indicator) -> Self:
        """Add an indicator."""
        self._indicators.append(checked_items("indicator", [i], Indicator)[0].as_json_object())
        return self

    def ttp(self, t: Ttp) -> Self:
        """Add a technique."""
        self._ttps.append(checked_items("ttp", [t], Ttp)[0].as_json_object())
        return self

    def artifact(self, a: ArtifactRef) -> Self:
        """Add a pointer to another result of the task."""
        self._artifacts.append(checked_items("artifact", [a], ArtifactRef)[0].as_json_object())
        return self

    def section(self, id: str, title: str, blocks: Iterable[Block]) -> Self:  # noqa: A002 - the author's API names it so
        """Add a section of blocks, which `SectionBuilder.get_blocks()` gives too."""
        check_text("section id", id)
        check_text("section title", title)
        objects = [block.as_json_object() for block in checked_items("section blocks", blocks, Block)]
        self._sections.append(without_none({"id": id, "title": title, "blocks": objects or None}))
        return self

    def raw(self, value: Any) -> Self:  # noqa: ANN401 - whatever JSON can hold
        """Set what the plugin's own tool said, as any JSON value."""
        self._raw = json_copy("raw", value)
        return self

    def build(self) -> PluginResult:
        """Return the report as the JSON result of the name ``report``; the builder can be used on.

        Raises:
            ResultRefused: It is nested too deep to be written as JSON.
        """
        verdict = self._verdict
        if verdict is None and self._labels:
            verdict = {"classification": Classification.Unknown.value}
        if verdict is not None:
            verdict = without_none({**verdict, "labels": self._labels or None})
        report = {
            "schema_version": SCHEMA_VERSION,
            "plugin": self._plugin,
            "verdict": verdict,
            "indicators": self._indicators or None,
            "ttps": self._ttps or None,
            "artifacts": self._artifacts or None,
            "summary": self._summary,
            "sections": self._sections or None,
            "raw": self._raw,
        }
        return PluginResult.json(REPORT_RESULT_NAME, without_none(report))


class SectionBuilder:
    """Collects the blocks of a section."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []

    def block(self, b: Block) -> Self:
        """Add a block."""
        self._blocks.extend(checked_items("block", [b], Block))
        return self

    def get_blocks(self) -> list[Block]:
        """Return the blocks added so far, in a list of the caller's own."""
        return list(self._blocks)
