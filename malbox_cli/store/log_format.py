r"""What the logs hold, and how it stands on disk: one line for each, to be read by a program or with grep.

::

    2025-11-24T22:01:03.123456Z | what the plugin printed, byte for byte
    2025-11-24T22:01:03.123456Z \ the same, where the plugin ended without a newline after it
    2025-11-24T22:01:03.123456Z ! warning: what malbox has to say

A plugin's line begins behind the sign that malbox writes, so none can pass for another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

__all__ = ["LogEntry", "LogLevel", "OwnLevel", "entries_from", "to_block", "utc_time"]

OwnLevel = Literal["info", "warning", "error"]
"""What malbox says."""

LogLevel = Literal["output"] | OwnLevel
"""Output is what a plugin printed."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = 1 << 53
"""Microseconds; a time after that, in 2255, is none of ours, and may be none that can be shown."""
TIME_BYTES = len("2025-11-24T22:01:03.123456Z")
PRINTED, NOT_ENDED, SAID = b" | ", b" \\ ", b" ! "
SIGNS = (PRINTED, NOT_ENDED, SAID)
OWN_LEVELS: dict[bytes, OwnLevel] = {level.encode(): level for level in get_args(OwnLevel)}
SIGN_END = TIME_BYTES + len(PRINTED)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Lines of one source and one moment.

    Attributes:
        at: When, in microseconds since 1970.
        plugin: Who printed it, or who it is about; None: it is about malbox itself.
        level: What kind it is.
        data: Whole lines, each with its newline; or one line without, which its process did not end.
    """

    at: int
    plugin: str | None
    level: LogLevel
    data: bytes

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


def utc_time(at: int) -> str:
    """Return a time as logs have it: ISO 8601, in UTC, with microseconds."""
    return f"{(EPOCH + at * MICROSECOND).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


def to_block(entry: LogEntry) -> bytes:
    """Return the lines of an entry as they stand on disk, newlines included."""
    time = utc_time(entry.at).encode()
    if entry.level != "output":
        prefix = b"%s%s%s: " % (time, SAID, entry.level.encode())
    elif entry.data.endswith(b"\n"):
        prefix = time + PRINTED
    else:
        return time + NOT_ENDED + entry.data + b"\n"
    return prefix + entry.data[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def entries_from(plugin: str | None, lines: list[bytes]) -> Iterator[LogEntry]:
    """Yield the entries of lines on disk, without their newlines; what is no entry is passed over."""
    last_time, at = b"", 0
    for line in lines:
        time, sign, text = line[:TIME_BYTES], line[TIME_BYTES:SIGN_END], line[SIGN_END:]
        level: LogLevel = "output"
        if sign == SAID:
            word, _, text = text.partition(b": ")
            own = OWN_LEVELS.get(word)
            if own is None:
                continue
            level = own
        elif sign not in SIGNS:
            continue
        if time != last_time:  # those that came together have one time
            try:
                at = (datetime.fromisoformat(time.decode("ascii")) - EPOCH) // MICROSECOND
            except (ValueError, TypeError):  # a line that a full disk cut; a time without a zone
                continue
            last_time = time
        if 0 <= at <= LATEST:
            yield LogEntry(at, plugin, level, text if sign == NOT_ENDED else text + b"\n")
