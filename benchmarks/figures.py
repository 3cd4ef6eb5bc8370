"""What the benchmarks say of the times that they took."""

from collections.abc import Sequence
from statistics import median

__all__ = ["median", "percentile", "row_of_times"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of the values are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def row_of_times(what: str, seconds: Sequence[float]) -> str:
    """Return a line of a table: what was timed, its median and its 99th percentile, in microseconds."""
    return f"{what:<58} {median(seconds) * 1e6:8.1f} {percentile(seconds, 0.99) * 1e6:8.1f}"
