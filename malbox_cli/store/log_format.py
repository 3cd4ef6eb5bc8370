r"""What the logs hold, and how it stands on disk: one line for each, to be read by a program or with grep.

::

    2025-11-24T22:01:03.123456Z | what the plugin printed, byte for byte
    2025-11-24T22:01:03.123456Z \ the same, where the plugin ended without a newline after it
    2025-11-24T22:01:03.123456Z : warning 5 | what the plugin logged in task 5
    2025-11-24T22:01:03.123456Z : info - {"found": 3} | what it logged outside of any, with more fields
    2025-11-24T22:01:03.123456Z ; output 5 | what it printed in task 5, where it ended without a newline after it
    2025-11-24T22:01:03.123456Z ! warning: what malbox has to say

A plugin's line begins behind the sign that malbox writes, so none can pass for another. What stands between the signs
``:`` and ``|`` its runtime said by a mark (`plugin_runtime.wire.log_marks`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from json import JSONDecoder
from typing import Literal, get_args

from plugin_runtime.wire.log_marks import LogMark, parse_mark

__all__ = ["LogEntry", "LogLevel", "OwnLevel", "entries_from", "level_of", "to_block", "unpacked", "utc_time"]

OwnLevel = Literal["info", "warning", "error"]
"""What malbox says."""

LogLevel = Literal["output"] | OwnLevel
"""Output is what a plugin printed."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST = 1 << 53
"""Microseconds; a time after that, in 2255, is none of ours, and may be none that can be shown."""
TIME_BYTES = len("2025-11-24T22:01:03.123456Z")
PRINTED, NOT_ENDED, SAID, MARKED, MARKED_NOT_ENDED = b" | ", b" \\ ", b" ! ", b" : ", b" ; "
SIGNS = (PRINTED, NOT_ENDED, SAID, MARKED, MARKED_NOT_ENDED)
OWN_LEVELS: dict[bytes, OwnLevel] = {level.encode(): level for level in get_args(OwnLevel)}
MAX_MARK_BYTES = 100
"""Of one without fields."""
SIGN_END = TIME_BYTES + len(PRINTED)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Lines of one source and one moment.

    Attributes:
        at: When, in microseconds since 1970.
        plugin: Who printed it, or who it is about; None: it is about malbox itself.
        level: What kind it is.
        data: Whole lines, each with its newline; or one line without, which its process did not end.
        mark: What the marks in these lines begin with, if there may be any; `unpacked` takes them off.
        said: What the plugin's runtime said of the lines; None: nothing.
    """

    at: int
    plugin: str | None
    level: LogLevel
    data: bytes
    mark: bytes = b""
    said: LogMark | None = None

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


def level_of(entry: LogEntry) -> str:
    """Return how important an entry is: what its plugin said, or malbox."""
    return entry.level if entry.said is None else entry.said.level


def utc_time(at: int) -> str:
    """Return a time as logs have it: ISO 8601, in UTC, with microseconds."""
    return f"{(EPOCH + at * MICROSECOND).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


def to_block(entry: LogEntry) -> bytes:
    """Return the lines of an entry as they stand on disk, newlines included."""
    time = utc_time(entry.at).encode()
    if entry.level != "output":
        prefix = b"%s%s%s: " % (time, SAID, entry.level.encode())
    else:
        is_whole = entry.data.endswith(b"\n")
        if entry.said is None:
            prefix = time + (PRINTED if is_whole else NOT_ENDED)
        else:
            prefix = time + (MARKED if is_whole else MARKED_NOT_ENDED) + _words(entry.said)
        if not is_whole:
            return prefix + entry.data + b"\n"
    return prefix + entry.data[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def entries_from(plugin: str | None, lines: list[bytes]) -> Iterator[LogEntry]:
    """Yield the entries of lines on disk, without their newlines; what is no entry is passed over."""
    last_time, at = b"", 0
    for line in lines:
        time, sign, text = line[:TIME_BYTES], line[TIME_BYTES:SIGN_END], line[SIGN_END:]
        level: LogLevel = "output"
        said = None
        if sign == SAID:
            word, _, text = text.partition(b": ")
            own = OWN_LEVELS.get(word)
            if own is None:
                continue
            level = own
        elif sign in (MARKED, MARKED_NOT_ENDED):
            read = _read_words(text)
            if read is None:
                continue
            said, text = read
        elif sign not in SIGNS:
            continue
        if time != last_time:  # those that came together have one time
            try:
                at = (datetime.fromisoformat(time.decode("ascii")) - EPOCH) // MICROSECOND
            except (ValueError, TypeError):  # a line that a full disk cut; a time without a zone
                continue
            last_time = time
        if 0 <= at <= LATEST:
            is_whole = sign not in (NOT_ENDED, MARKED_NOT_ENDED)
            yield LogEntry(at, plugin, level, text + b"\n" if is_whole else text, said=said)


def unpacked(entry: LogEntry) -> list[LogEntry]:
    """Return an entry as those of one mark each, which stands in `said` then and not in their lines any more."""
    if not entry.mark or entry.mark not in entry.data:
        return [entry]
    return _of_one_mark(entry) or _of_many_marks(entry)


def _of_one_mark(entry: LogEntry) -> list[LogEntry]:
    """Return the entries of lines that all have the same mark, as those of a task that prints much; else nothing.

    It takes a hundredth of the time that looking at each line does.
    """
    data = entry.data
    end = data.find(b"\n", 0, MAX_MARK_BYTES)
    mark = data[: data.find(b"\x1f", 0, end if end >= 0 else MAX_MARK_BYTES) + 1]
    if (
        not mark.startswith(entry.mark)
        or not data.count(entry.mark) == data.count(b"\n" + mark) + 1 == entry.line_count
    ):
        return []
    read = parse_mark(mark.removeprefix(entry.mark))
    if read is None or read[0].fields:
        return []
    whole = replace(entry, data=data[len(mark) :].replace(b"\n" + mark, b"\n"), mark=b"", said=read[0])
    return [whole] if data.endswith(b"\n") else _without_an_end(replace(whole, data=whole.data + b"\n"))


def _of_many_marks(entry: LogEntry) -> list[LogEntry]:
    *lines, rest = entry.data.split(b"\n")
    groups: list[tuple[LogMark | None, list[bytes]]] = []
    for line in [*lines, rest] if rest else lines:
        # What was written past Python's streams may stand before a mark, on the same line.
        unmarked, *marked = line.split(entry.mark)
        pieces: list[tuple[LogMark | None, bytes]] = [(None, unmarked)] if unmarked or not marked else []
        pieces += [parse_mark(piece) or (None, piece) for piece in marked]
        for said, text in pieces:
            if groups and groups[-1][0] == said and not (said and said.fields):
                groups[-1][1].append(text)
            else:
                groups.append((said, [text]))
    entries = [replace(entry, data=b"\n".join(texts) + b"\n", mark=b"", said=said) for said, texts in groups]
    if rest:
        entries[-1:] = _without_an_end(entries[-1])
    return entries


def _without_an_end(entry: LogEntry) -> list[LogEntry]:
    """Return an entry whose last line its process did not end: that line is one of its own."""
    before, _, last = entry.data[:-1].rpartition(b"\n")
    rest = replace(entry, data=last)
    return [replace(entry, data=before + b"\n"), rest] if b"\n" in entry.data[:-1] else [rest]


def _words(said: LogMark) -> bytes:
    words = [said.level, "-" if said.task is None else str(said.task), *([said.fields] if said.fields else []), "| "]
    return " ".join(words).encode()


def _read_words(text: bytes) -> tuple[LogMark, bytes] | None:
    """Return what `_words` was given, and the text after it; None if that is not what stands there."""
    words, bar, rest = text.partition(b" | ")
    level, _, more = words.partition(b" ")
    task, _, fields = more.partition(b" ")
    if fields:  # a bar may be within them
        start = len(level) + len(task) + 2
        try:
            end = start + JSONDecoder().raw_decode(text[start:].decode("latin-1"))[1]
        except (ValueError, RecursionError):
            return None
        if text[end : end + 3] != b" | ":
            return None
        fields, rest = text[start:end], text[end + 3 :]
    return parse_mark(b"%s %s %s\x1f%s" % (level, task, fields, rest)) if bar else None
