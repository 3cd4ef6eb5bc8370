"""What is wrong, gathered while a file is read, so that every problem comes out at once."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from malbox_cli.manifest.lines import KeyPath, LineIndex
from malbox_cli.manifest.specs import Problem, Severity

__all__ = ["Finding", "Findings", "dotted", "problems_of"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of one file before its line is looked up.

    Attributes:
        path: The table or key; empty for the file as a whole.
        message: What is wrong and what to do.
        severity: ``error`` or ``note``.
        line: The line, where it is known already.
    """

    path: KeyPath
    message: str
    severity: Severity = "error"
    line: int | None = None


@dataclass(slots=True)
class Findings:
    """The problems of one file, in the order in which they were found."""

    found: list[Finding] = field(default_factory=list)

    def error(self, path: KeyPath, message: str, *, line: int | None = None) -> None:
        """Add what makes the file unusable."""
        self.found.append(Finding(path, message, "error", line))

    def note(self, path: KeyPath, message: str, *, line: int | None = None) -> None:
        """Add what is accepted but not acted upon."""
        self.found.append(Finding(path, message, "note", line))

    @property
    def has_errors(self) -> bool:
        """Whether the file cannot be used."""
        return any(finding.severity == "error" for finding in self.found)


def dotted(path: KeyPath) -> str:
    """Return a key path as TOML writes it, ``plugins.yara.env.RULES``, with ``[0]`` for an index."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        shown = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
        text += f".{shown}" if text else shown
    return text


def problems_of(file: Path, text: str, findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Return the problems of one file in the order of their lines, those of the whole file first.

    Args:
        file: The file as the caller named it.
        text: What is in it; lines are looked up only if there is a problem.
        findings: What was found in it.
    """
    found = tuple(findings)
    if not found:
        return ()
    index = LineIndex(text)
    problems = [
        Problem(
            file=file,
            line=finding.line if finding.line is not None else index.nearest_line_of(finding.path),
            where=dotted(finding.path),
            message=finding.message,
            severity=finding.severity,
        )
        for finding in found
    ]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))
