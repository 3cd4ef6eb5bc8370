"""Numbers of processors as ``taskset`` and cpusets write them: ``0-3,6``."""

import re
from collections.abc import Iterable

__all__ = ["MOST_CPUS", "format_cpus", "parse_cpus"]

MOST_CPUS = 8192
"""How many processors a Linux kernel can be built for."""

_PART = re.compile(r"(?P<first>[0-9]{1,4})(?:-(?P<last>[0-9]{1,4}))?", re.ASCII)


def parse_cpus(text: str) -> frozenset[int]:
    """Return the processors that a list such as ``0-3,6`` names.

    Raises:
        ValueError: It is no such list, or names a processor that no machine has; the text says what to write.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip(" "))
        if match is None:
            raise ValueError(f'{_shown(text)} is not a list of processors such as "0-3,6"')
        first = int(match["first"])
        last = int(match["last"] or first)
        if last < first:
            raise ValueError(f"{_shown(text)} has the range {match[0]}, which ends before it begins")
        if last >= MOST_CPUS:
            raise ValueError(f"{_shown(text)} names processor {last}, but their numbers end at {MOST_CPUS - 1}")
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def format_cpus(cpus: Iterable[int]) -> str:
    """Return the list that names these processors, ascending; `parse_cpus` gives them back."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
