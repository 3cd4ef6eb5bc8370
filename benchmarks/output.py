"""What plugins print: how many lines a second are kept, and what a flood of them does to another plugin's tasks.

A plugin prints lines of 80 bytes as fast as they are taken, to its standard output. They are read by the real reactor,
put on disk with rotation, and shown on a terminal that takes everything (/dev/null). Counted is what the pump read, and
what was on disk at the end; the difference is what was dropped because the disk did not take it in time.

Meanwhile another plugin is given one empty task after the other. A task is timed from the moment it is submitted to the
announcement of its end, its sample being read in between. It is held against the same with no flood, and, because a
plugin that floods keeps a core busy whoever takes it, with a flood into /dev/null, which the supervisor never sees.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

from figures import row_of_times
from supervised import Supervised, open_supervised

from malbox_cli.store import log_writer
from malbox_cli.store.log_file import append
from malbox_cli.supervisor.log_hub import LogHub

FLOODS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "no flood": {},
    "a flood into /dev/null": {"flood": {"to": "/dev/null"}},
    "a flood into the supervisor": {"flood": {"to": "/dev/stdout"}},
}
WARM_UP = 50
"""Tasks that are not timed."""


class Counts:
    """Lines: how many were read, and how many are on disk."""

    def __init__(self) -> None:
        self.read = self.written = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count during a block."""
        counts, printed = self, LogHub.printed

        def count_read(hub: LogHub, plugin_id: str, data: bytes, mark: bytes = b"") -> None:
            counts.read += data.count(b"\n")
            printed(hub, plugin_id, data, mark)

        def count_written(folder: Path, name: str, blocks: Sequence[bytes]) -> tuple[int, OSError | None]:
            lines, error = append(folder, name, blocks)
            counts.written += lines
            return lines, error

        with patch.object(LogHub, "printed", count_read), patch.object(log_writer, "append", count_written):
            yield


def seconds_of_tasks(supervised: Supervised, count: int) -> list[float]:
    """Run empty tasks one after the other; return the seconds that each took."""
    seconds = []
    for _ in range(count):
        began = perf_counter()
        supervised.run_task()
        seconds.append(perf_counter() - began)
    return seconds


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=2000, help="tasks beside each flood (default: 2000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the lines are counted (default: 5)")
    options = parser.parse_args()
    rows = []
    with open(os.devnull, "w") as terminal:
        for what, beside in FLOODS.items():
            with open_supervised("empty", log=terminal, beside=beside) as supervised:
                seconds_of_tasks(supervised, WARM_UP)
                rows.append(row_of_times(f"an empty task beside {what}", seconds_of_tasks(supervised, options.tasks)))
        counts = Counts()
        with counts.counting(), open_supervised("empty", log=terminal, beside=FLOODS[what]) as supervised:
            began, before = time.monotonic(), counts.read
            supervised.session.reactor.run_until(lambda: time.monotonic() - began >= options.seconds)
            read, seconds = counts.read - before, time.monotonic() - began
    print(f"{'microseconds':<58} {'median':>8} {'p99':>8}")
    print("\n".join(rows))
    print()
    print(f"lines of 80 bytes read: {read / seconds:,.0f} a second ({read * 80 / seconds / (1 << 20):.0f} MiB/s)")
    print(f"of all that were read, on disk: {counts.written / counts.read:.1%}")


if __name__ == "__main__":
    main()
