"""Moments of the past as a person writes them: how long ago, or a date."""

import re
from datetime import datetime

from malbox_cli.manifest.units import parse_duration

__all__ = ["parse_age", "parse_moment"]

_DAYS = {"d": 1, "w": 7}
_IN_DAYS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([dw])")
_DAY_SECONDS = 86400.0


def parse_age(text: str) -> float:
    """Return the seconds of an age such as ``30m``, ``2h``, ``7d`` or ``4w``.

    Raises:
        ValueError: It is none; the text says what to write.
    """
    if found := _IN_DAYS.fullmatch(text):
        return float(found[1]) * _DAYS[found[2]] * _DAY_SECONDS
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is not an age such as 30m, 2h, 7d or 4w") from error


def parse_moment(text: str, now: float) -> float:
    """Return the seconds since the epoch of an age, or of a date of this machine's time zone.

    Raises:
        ValueError: It is neither; the text says what to write.
    """
    if text[:4].isdigit() and "-" in text:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{_shown(text)} is not a date such as 2026-11-24 or 2026-11-24T18:30") from error
    try:
        return now - parse_age(text)
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is neither an age such as 2h or 7d nor a date such as 2026-11-24") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
