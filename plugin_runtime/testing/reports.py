"""A report read back, as the objects that it was built of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin_runtime.report.builder import SCHEMA_VERSION
from plugin_runtime.report.values import ArtifactRef, Classification, Confidence, Indicator, Ttp

__all__ = ["Report", "Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a report; each block is the JSON object that stands for it, such as ``{"type": "divider"}``."""

    id: str
    title: str
    blocks: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a plugin reported.

    Attributes:
        plugin_id: The plugin, as the report names it.
        plugin_version: Its version.
        display_name: What it is called for people, or None.
        classification: The verdict, or None where there is none.
        score: The verdict's score from 0 to 100, or None.
        confidence: How sure the plugin is, or None.
        labels: The verdict's labels.
        indicators: The indicators, in order.
        ttps: The techniques, in order.
        artifacts: The pointers to other results, in order.
        summary: The summary, or None.
        sections: The sections, in order.
        raw: What the plugin's own tool said, or None.
    """

    plugin_id: str
    plugin_version: str
    display_name: str | None = None
    classification: Classification | None = None
    score: int | None = None
    confidence: Confidence | None = None
    labels: tuple[str, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    ttps: tuple[Ttp, ...] = ()
    artifacts: tuple[ArtifactRef, ...] = ()
    summary: str | None = None
    sections: tuple[Section, ...] = ()
    raw: Any = None

    @staticmethod
    def read(value: Any) -> "Report":  # noqa: ANN401 - whatever was pushed as JSON
        """Return the report of a JSON value that `ReportBuilder.build` made.

        Raises:
            ValueError: It is of another shape; built by hand, perhaps.
        """
        try:
            if value["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"its schema_version is {value['schema_version']!r}, not {SCHEMA_VERSION}")
            plugin, verdict = value["plugin"], value.get("verdict", {})
            confidence = verdict.get("confidence")
            return Report(
                plugin_id=plugin["id"],
                plugin_version=plugin["version"],
                display_name=plugin.get("display_name"),
                classification=Classification(verdict["classification"]) if verdict else None,
                score=verdict.get("score"),
                confidence=None if confidence is None else Confidence(confidence),
                labels=tuple(verdict.get("labels", ())),
                indicators=tuple(Indicator(**one) for one in value.get("indicators", ())),
                ttps=tuple(Ttp(**one) for one in value.get("ttps", ())),
                artifacts=tuple(ArtifactRef(**one) for one in value.get("artifacts", ())),
                summary=value.get("summary"),
                sections=tuple(
                    Section(one["id"], one["title"], tuple(one.get("blocks", ()))) for one in value.get("sections", ())
                ),
                raw=value.get("raw"),
            )
        except KeyError as error:
            raise ValueError(f"this is no report of ReportBuilder: it has no {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no report of ReportBuilder: {error}") from error
