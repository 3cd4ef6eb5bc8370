"""A file of variables for a plugin's environment: one NAME=VALUE a line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.manifest.environment import refuse_env_name
from malbox_cli.manifest.files import Kind, Look
from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.table import shown_path

__all__ = ["EnvLine", "env_file_fault", "variables_in"]


@dataclass(frozen=True, slots=True)
class EnvLine:
    """One assignment, or what should have been one.

    Attributes:
        line: Where it begins, counted from 1.
        name: The variable; None where it could not be read.
        value: What it is set to; None where there is no equals sign.
    """

    line: int
    name: str | None = None
    value: str | None = None


def variables_in(lines: Iterable[EnvLine], findings: Findings) -> dict[str, str]:
    """Return the variables that these lines set, with whatever is wrong with them added to the findings.

    What stands in a line is in none of the messages: it may be a secret.
    """
    variables: dict[str, str] = {}
    first: dict[str, int] = {}
    for line in lines:
        if line.name is None or line.value is None:
            message = "is no assignment; write NAME=VALUE, or NAME='VALUE' where there are spaces or quotes in it"
            findings.error((), message, line=line.line)
            continue
        fault = refuse_env_name(line.name)
        if fault is not None:
            findings.error((line.name,), fault, line=line.line)
        elif "\0" in line.value:
            message = "has a NUL character in it, which no program can be given; remove it"
            findings.error((line.name,), message, line=line.line)
        elif line.name in first:
            message = f"is set twice, first in line {first[line.name]}; the last counts"
            findings.note((line.name,), message, line=line.line)
        first.setdefault(line.name, line.line)
        variables[line.name] = line.value
    return variables


def env_file_fault(file: Path, look: Look) -> str | None:
    """Return why a path cannot be read as an `env_file`, None if it can.

    Args:
        file: The path, absolute.
        look: What was seen there.
    """
    name = shown_path(file)
    match look.kind:
        case Kind.FILE:
            return None
        case Kind.MISSING:
            return f"the file {name} does not exist; correct env_file, which is relative to the manifest's folder"
        case Kind.UNREACHABLE:
            return f"the file {name} cannot be looked at: {look.reason}"
        case kind:
            return f"{name} is {kind.value}, but env_file names a file of NAME=VALUE lines; correct it"
