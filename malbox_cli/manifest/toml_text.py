"""Bytes to text and to a TOML document, with tomllib's errors in the words of the manifest."""

import re
import tomllib

from malbox_cli.manifest.findings import Findings, dotted
from malbox_cli.manifest.lines import LineIndex, statements

__all__ = ["MAX_BYTES", "read_text", "read_toml"]

MAX_BYTES = 1 << 20
"""The largest file that is read."""

_PLACE = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
# How tomllib begins what it says of a table or key that stands twice.
_TWICE = ("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine", "Duplicate inline table key")


def read_text(data: bytes, findings: Findings) -> str | None:
    """Return the text of a file; None, with one error added, if it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        findings.error((), f"is larger than {MAX_BYTES >> 20} MiB; a file of this kind has a few lines")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: the byte 0x{data[error.start]:02x} cannot stand there; save the file as UTF-8"
        findings.error((), message, line=data.count(b"\n", 0, error.start) + 1)
        return None


def read_toml(data: bytes, findings: Findings) -> tuple[str, dict[str, object] | None]:
    """Return the text and the document in it; None, with one error added, if it is not UTF-8 or not TOML."""
    text = read_text(data, findings)
    if text is None:
        return "", None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _explain(str(error), text, findings)
    except RecursionError:
        findings.error((), "is nested too deeply; a file of this kind has tables in tables at most")
    except ValueError:
        # Not tomllib's own error: Python refuses to convert a number of thousands of digits.
        findings.error((), "has a number with too many digits; shorten it", line=_endless_number(text))
    return text, None


def _explain(error: str, text: str, findings: Findings) -> None:
    place = _PLACE.fullmatch(error)
    what, line, column = place.group("what", "line", "column") if place else (error, None, None)
    # An error at the end is about what was begun last and not finished.
    number = int(line) if line else max((statement.line for statement in statements(text)), default=1)
    if what.startswith(_TWICE) and _explain_twice(number, text, findings):
        return
    at = f" (column {column})" if column else ""
    findings.error((), f"is not TOML: {what[:1].lower()}{what[1:]}{at}", line=number)


def _explain_twice(line: int, text: str, findings: Findings) -> bool:
    """Add the error for a table or key that stands twice; return whether it could be found in the text."""
    index = LineIndex(text)
    target = index.target_at(line)
    if target is None:
        return False
    statement, path = target
    first = index.line_of(path)
    if first is None or first >= statement.line:
        return False
    if statement.is_header:
        message = f"two tables [{dotted(path)}]; the first is in line {first}: rename or remove one of them"
    else:
        message = f"the key '{path[-1]}' stands twice; the first is in line {first}: remove one of them"
    findings.error(path, message, line=statement.line)
    return True


def _endless_number(text: str) -> int | None:
    for statement in statements(text):
        try:
            tomllib.loads(statement.text)
        except tomllib.TOMLDecodeError:
            continue
        except ValueError:
            return statement.line
    return None
