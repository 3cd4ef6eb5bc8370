"""The logs in a folder, as one: merged by time, from their end or as they grow."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from itertools import islice, takewhile
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from malbox_cli.manifest.specs import OWN_NAME
from malbox_cli.store.log_file import log_names
from malbox_cli.store.log_format import LogEntry
from malbox_cli.store.log_reader import LogReader

__all__ = ["Logs"]

_time_of = attrgetter("at")


class Logs:
    """Some of the logs in a folder, to be read. All that it raises is MalboxError, for one that may not be read.

    Args:
        folder: Where they are; it need not exist.
        patterns: Which are wanted, such as ``yara*``; all of them for none.
        only_printed: Leave out what malbox says.
        wanted: Which entries are wanted besides.
    """

    def __init__(
        self,
        folder: Path,
        patterns: Sequence[str] = (),
        *,
        only_printed: bool = False,
        wanted: Callable[[LogEntry], bool] = lambda _: True,
    ) -> None:
        self._folder = folder
        self._patterns = patterns or ("*",)
        self._only_printed = only_printed
        self._is_wanted = wanted
        self._stack = ExitStack()
        self._readers: dict[str, LogReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def look(self) -> bool:
        """Open the logs that have come since; return whether there are any by now."""
        for name in log_names(self._folder):
            if name not in self._readers and any(fnmatchcase(name, pattern) for pattern in self._patterns):
                reader = LogReader(self._folder, name, None if name == OWN_NAME else name)
                self._readers[name] = self._stack.enter_context(reader)
        return bool(self._readers)

    def last(self, count: int, oldest: int = 0) -> list[LogEntry]:
        """Return the last `count` entries, in their order, without those from before the time `oldest`.

        No more is read than that takes; `news` goes on behind it.
        """
        logs = [self._wanted(reader.backwards()) for reader in self._readers.values()]
        latest_first = heapq.merge(*logs, key=_time_of, reverse=True)
        return list(islice(takewhile(lambda entry: entry.at >= oldest, latest_first), count))[::-1]

    def all(self, oldest: int = 0) -> Iterator[LogEntry]:
        """Yield every entry in its order, until all logs were at their end once; `news` goes on behind them."""
        for entry in heapq.merge(*(self._wanted(_forwards(log)) for log in self._readers.values()), key=_time_of):
            if entry.at >= oldest:
                yield entry

    def news(self) -> list[LogEntry]:
        """Return what has come since, in its order; of logs that have come, everything."""
        self.look()
        return list(heapq.merge(*(self._wanted(log.news()) for log in self._readers.values()), key=_time_of))

    def _wanted(self, entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
        return (
            entry for entry in entries if (entry.level == "output" or not self._only_printed) and self._is_wanted(entry)
        )


def _forwards(log: LogReader) -> Iterator[LogEntry]:
    while news := log.news():
        yield from news
