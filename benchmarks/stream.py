"""A big result through the supervisor, against bare exchanges on iceoryx2 with credits.

The supervisor's way is the normal one: a plugin pushes the result in one call, `plugin_runtime` cuts it into chunks of
1 MiB, the supervisor receives and checks them, writes them to a file below its state folder, computes the result's
SHA-256 and announces it. The time is taken from sending the task to the announcement of its end, in the supervisor's
process.

The bare exchange (`bare.py`) sends as many chunks of 1 MiB from one process to another, with the same services, window
and credits. The receiver, on one thread, does one of three things with each chunk before it gives the credit back:

- memory: copies it to a buffer that it reuses;
- file: writes it to a file;
- file and digest: writes it to a file and updates a SHA-256, which is all that the supervisor does with it, too.

All run in turn, each on a new file in the same folder, which the page cache takes in. The last part of the benchmark
is the supervisor's memory: how far its peak grew while a result arrived, for a small and a big one.
"""

import argparse
import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from bare import Bare, Sink, open_bare, take_view
from cores import PLACES, place
from figures import median, percentile
from supervised import Supervised, open_supervised

from malbox_cli.control.records import Accepted, Ended, Record, Result
from plugin_runtime.wire.names import CHUNK_SIZE

MEBIBYTE = 1 << 20
SMALL_MEBIBYTES = 64
MAX_GROWTH_MEBIBYTES = 4.0
TARGET = 0.6


class StopWatch:
    """Notes when a task was sent and when its end was announced, and removes its result."""

    def __init__(self) -> None:
        self.sent = self.ended = 0.0

    def take(self, record: Record) -> None:
        """Take a record of the supervisor."""
        match record:
            case Accepted():
                self.sent = perf_counter()
            case Ended():
                self.ended = perf_counter()
            case Result(path=str(path)):
                os.unlink(path)
            case _:
                pass


def through_supervisor(supervised: Supervised, mebibytes: int) -> float:
    """Have a result arrive; return the seconds."""
    watch = StopWatch()
    supervised.on_record = watch.take
    supervised.run_task({"mebibytes": str(mebibytes)})
    return watch.ended - watch.sent


def into_memory(bare: Bare, mebibytes: int, folder: Path) -> float:
    """Stream chunks into a buffer; return the seconds."""
    del folder
    buffer = (ctypes.c_char * CHUNK_SIZE)()

    def copy(address: int, size: int) -> None:
        ctypes.memmove(buffer, address, size)

    return bare.stream(mebibytes, copy)


def into_file(bare: Bare, mebibytes: int, folder: Path) -> float:
    """Stream chunks into a file; return the seconds."""
    return _into_new_file(folder, lambda file: bare.stream(mebibytes, take_view(lambda view: os.write(file, view))))


def into_file_and_digest(bare: Bare, mebibytes: int, folder: Path) -> float:
    """Stream chunks into a file and a digest, on one thread; return the seconds."""
    digest = hashlib.sha256()

    def write(file: int) -> Sink:
        def both(view: memoryview) -> None:
            os.write(file, view)
            digest.update(view)

        return take_view(both)

    return _into_new_file(folder, lambda file: bare.stream(mebibytes, write(file)))


def _into_new_file(folder: Path, run: Callable[[int], float]) -> float:
    path = folder / "bulk"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return run(file)
    finally:
        os.close(file)
        path.unlink()


def growth_of(run: Callable[[], object]) -> float:
    """Return by how many MiB the peak of this process's memory is above what it had before `run`."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"\n{field}:")[2].split()[0])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="how often each runs in turn (default: 10)")
    parser.add_argument("--mebibytes", type=int, default=256, help="the size of the result (default: 256)")
    parser.add_argument("--cores", choices=PLACES, default="free", help="where the two processes run (default: free)")
    options = parser.parse_args()
    size = options.mebibytes
    bares = {"memory": into_memory, "file": into_file, "file and digest": into_file_and_digest}
    times: dict[str, list[float]] = {name: [] for name in (*bares, "supervisor")}
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as name, open_bare() as bare:
        folder = Path(name)
        with open_supervised("bulk", folder) as supervised:
            place(options.cores, (bare.server_pid, supervised.plugin_pid))
            for round_ in range(options.rounds + 1):
                for what, run in bares.items():
                    times[what].append(run(bare, size, folder))
                times["supervisor"].append(through_supervisor(supervised, size))
                if not round_:
                    for each in times.values():
                        each.clear()  # the first round warms up
            growth = {
                each: growth_of(lambda each=each: through_supervisor(supervised, each))  # type: ignore[misc]
                for each in (SMALL_MEBIBYTES, size)
            }
    print(f"{f'{size} MiB, GiB/s':<30} {'median':>8} {'p99':>8} {'ratio of the supervisor':>24}")
    ours = median(times["supervisor"])
    for what, seconds in times.items():
        rates = [size / 1024 / each for each in seconds]
        ratio = f"{median(seconds) / ours:24.2f}" if what != "supervisor" else ""
        print(f"{what:<30} {median(rates):8.2f} {percentile(rates, 0.01):8.2f} {ratio}")
    print(f"\n(target: at least {TARGET} of the exchange)")
    for mebibytes, grown in growth.items():
        print(f"peak memory of the supervisor during {mebibytes} MiB: {grown:+.1f} MiB")


if __name__ == "__main__":
    main()
