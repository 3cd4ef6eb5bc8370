"""Durations and sizes as a manifest writes them: ``"500ms"``, ``"30s"``, ``"5m"``; ``"64KiB"``, ``"512MiB"``."""

import math
import re
from decimal import Decimal

from malbox_cli.manifest.suggest import did_you_mean

__all__ = ["format_duration", "format_size", "parse_duration", "parse_size"]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# What other formats call the same, so that the message can name ours.
_OTHER_NAMES = {
    "msec": "ms",
    "millis": "ms",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
    "hour": "h",
    "hours": "h",
    "k": "KiB",
    "kb": "KiB",
    "m": "MiB",
    "mb": "MiB",
    "g": "GiB",
    "gb": "GiB",
    "t": "TiB",
    "tb": "TiB",
    "byte": "B",
    "bytes": "B",
}
_NUMBER_AND_UNIT = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[A-Za-z]*)")
_MAX_DURATION = 366 * 86400.0  # far below what overflows the clocks and waits that get it
_MAX_SIZE = 2**63 - 1


def parse_duration(text: str) -> float:
    """Return the seconds that a duration such as ``500ms``, ``1.5s``, ``5m`` or ``1h`` stands for.

    Raises:
        ValueError: It is not one, or longer than a year; the text says what to write.
    """
    number, unit = _split(text, _SECONDS, 'a duration such as "500ms", "30s" or "5m"')
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    if seconds > _MAX_DURATION:
        raise ValueError(f'{_shown(text)} is longer than a year; write a shorter duration, such as "30s"')
    return seconds


def parse_size(text: str) -> int:
    """Return the bytes that a size such as ``512B``, ``64KiB`` or ``1.5MiB`` stands for.

    Raises:
        ValueError: It is not one, not a whole number of bytes, or too large; the text says what to write.
    """
    number, unit = _split(text, _BYTES, 'a size such as "64KiB" or "512MiB"')
    size = Decimal(number) * _BYTES[unit]
    if size > _MAX_SIZE:
        raise ValueError(f'{_shown(text)} is too large; write a smaller size, such as "512MiB"')
    if size != int(size):
        raise ValueError(f"{_shown(text)} is not a whole number of bytes; write it in a smaller unit")
    return int(size)


def format_duration(seconds: float) -> str:
    """Return the duration in the largest unit in which it is a whole number; `parse_duration` gives it back.

    Raises:
        ValueError: It is negative, infinite or not a number.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{seconds!r} is not a duration")
    for unit in ("h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    millis = round(seconds * 1000)
    if millis and seconds < 1 and millis / 1000 == seconds:
        return f"{millis}ms"
    return f"{Decimal(repr(float(seconds))).normalize():f}s"


def format_size(n: int) -> str:
    """Return the size in the largest unit in which it is a whole number; `parse_size` gives it back.

    Raises:
        ValueError: It is negative.
    """
    if n < 0:
        raise ValueError(f"{n} is not a size")
    unit = next((unit for unit in reversed(_BYTES) if n and n % _BYTES[unit] == 0), "B")
    return f"{n // _BYTES[unit]}{unit}"


def _split(text: str, units: dict[str, float] | dict[str, int], expected: str) -> tuple[str, str]:
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or len(match["number"]) > 30:
        raise ValueError(f"{_shown(text)} is not {expected}")
    number, unit = match["number"], match["unit"]
    if unit in units:
        return number, unit
    if not unit:
        raise ValueError(f"{_shown(text)} has no unit; write {expected}")
    ours = _OTHER_NAMES.get(unit.lower(), "")
    meant = f" (did you mean '{ours}'?)" if ours in units else did_you_mean(unit, units)
    raise ValueError(f"{_shown(text)} has the unknown unit '{unit[:20]}'{meant}; the units are {', '.join(units)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
