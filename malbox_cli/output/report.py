"""A plugin's report in a few lines: the verdict, why, and what to look for elsewhere."""

from collections.abc import Mapping
from typing import Any

from malbox_cli.output.text import one_line

__all__ = ["is_report", "report_lines"]

MAX_INDICATORS = 20


def is_report(name: str, value: object) -> bool:
    """Return whether a JSON result is a report as plugins build it."""
    return name == "report" and isinstance(value, Mapping) and value.get("schema_version") == 1


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines; whatever is of another shape than it should be is left out."""
    lines = [_verdict(report.get("verdict"))]
    if isinstance(summary := report.get("summary"), str):
        lines.append(summary)
    lines += [f"technique {ttp.get('id')} {ttp.get('name')}" for ttp in _objects(report.get("ttps"))]
    indicators = _objects(report.get("indicators"))
    lines += [f"{indicator.get('kind')} {indicator.get('value')}" for indicator in indicators[:MAX_INDICATORS]]
    if len(indicators) > MAX_INDICATORS:
        lines.append(f"... and {len(indicators) - MAX_INDICATORS} more indicators")
    return [one_line(line) for line in lines]


def _verdict(verdict: object) -> str:
    if not isinstance(verdict, Mapping):
        return "no verdict"
    parts = [f"verdict {verdict.get('classification', 'unknown')}"]
    if "score" in verdict:
        parts.append(f"score {verdict['score']}")
    if "confidence" in verdict:
        parts.append(f"confidence {verdict['confidence']}")
    labels = verdict.get("labels")
    if isinstance(labels, list) and labels:
        parts.append("labels " + " ".join(map(str, labels)))
    return ", ".join(parts)


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
