"""What the ledger costs: the same with `ledger = true` and `ledger = false`, and with many tasks in it.

- `rate`: how many empty tasks a second one plugin does while many wait, in a supervisor in this process.
- `trip`: the round trip of one empty task after the other, where a user meets it: from when a command begins to write
  its request to the control socket of `malbox up` until it has read the task's end; the sample is read meanwhile. Both
  supervisors run all the time and are asked in turn. With it what an fdatasync on that disk takes, since one is what a
  task with a ledger cannot do without.
- `inside`: the same without the socket, in this process: from handing in the submission to the announcement of the end.
- `size`: `malbox tasks`, `malbox show` and the start of `malbox up` until it is READY, with 100,000 tasks in the ledger
  against 100.
- `memory`: how far the memory of `malbox up` grows while its disk stands still, while a command does not read what it
  is sent, and while a plugin pushes as fast as it can.

What is compared runs in turn, for several rounds.
"""

import argparse
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

from cores import PLACES, place
from figures import median, row_of_times
from supervised import PLUGINS, Supervised, open_supervised

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Submitting, encode
from malbox_cli.control.records import Ended, Outcome, Record
from malbox_cli.store.ledger_schema import connect, ledger_path, make
from malbox_cli.supervisor.ownership import Owner, find_owner

TARGET_RATE = 0.7
TARGET_TRIP = 1.3
TARGET_SIZE = 1.5
WAITING = 400
WARM_UP = 100
FEW, MANY = 100, 100_000
MEBIBYTE = 1 << 20
LEDGER = (True, False)
NAMES = {True: "with the ledger", False: "without"}


# The rate.


def run_many(supervised: Supervised, count: int) -> float:
    """Run so many tasks, of which up to `WAITING` wait at any time; return the seconds.

    Raises:
        RuntimeError: One did not end well.
    """
    submitted = ended = 0
    failures: list[Ended] = []

    def take(record: Record) -> None:
        nonlocal ended
        if isinstance(record, Ended):
            ended += 1
            if record.outcome is not Outcome.COMPLETED:
                failures.append(record)

    def is_over() -> bool:
        nonlocal submitted
        while submitted < count and submitted - ended < WAITING:
            submitted += 1
            supervised.submit()
        return ended == count

    supervised.on_record = take
    began = perf_counter()
    supervised.session.reactor.run_until(is_over)
    seconds = perf_counter() - began
    if failures:
        raise RuntimeError(f"a task {failures[0].outcome.value}: {failures[0].error}")
    return seconds


def rate_of(*, ledger: bool, count: int, where: str) -> float:
    """Return how many tasks a second a supervisor does."""
    with open(os.devnull, "w") as nowhere, open_supervised("empty", log=nowhere, ledger=ledger) as supervised:
        place(where, (supervised.plugin_pid,))
        run_many(supervised, WARM_UP)
        return count / run_many(supervised, count)


def measure_rate(tasks: int, rounds: int, where: str) -> None:
    """Measure and print the rate."""
    rates: dict[bool, list[float]] = {ledger: [] for ledger in LEDGER}
    for _ in range(rounds):
        for ledger in LEDGER:
            rates[ledger].append(rate_of(ledger=ledger, count=tasks, where=where))
    print(f"empty tasks a second, {WAITING} waiting")
    for ledger in LEDGER:
        print(
            f"{NAMES[ledger]:<58} {median(rates[ledger]):8.0f}   ({', '.join(f'{each:.0f}' for each in rates[ledger])})"
        )
    ratio = median([kept / not_kept for kept, not_kept in zip(rates[True], rates[False], strict=True)])
    print(f"ratio: {ratio:.2f} (target: at least {TARGET_RATE})\n", flush=True)


# The round trip.


@contextmanager
def running(folder: Path, manifest: str) -> Iterator[tuple[Owner, subprocess.Popen[bytes]]]:
    """Run `malbox up` with a manifest in a folder of its own for the length of a block."""
    folder.mkdir(exist_ok=True)
    path = folder / "plugins.toml"
    path.write_text(manifest)
    process = subprocess.Popen([_malbox(), "up", "-f", str(path)], stdout=subprocess.DEVNULL)
    try:
        wait = [_malbox(), "wait", "--timeout", "30", "-f", str(path)]
        subprocess.run(wait, check=True, stdout=subprocess.DEVNULL)
        owner = find_owner(folder / "state")
        assert owner is not None
        yield owner, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def manifest_of(plugin: str, *, ledger: bool = True, more: str = "") -> str:
    """Return a manifest with one plugin of `plugins/`."""
    return (
        f'[malbox]\nstate_dir = "state"\nledger = {str(ledger).lower()}\n'
        f'[plugins.{plugin}]\ncommand = ["{{python}}", "{PLUGINS / plugin}.py"]\n{more}'
    )


def trip(client: ControlClient, sample: Path) -> float:
    """Send a task as `malbox send-task` does, and read its records to the end; return the seconds.

    Raises:
        RuntimeError: It did not end well.
    """
    began = perf_counter()
    *_, last = client.submit(Submitting("empty", str(sample)))
    seconds = perf_counter() - began
    if not isinstance(last, Ended) or last.outcome is not Outcome.COMPLETED:
        raise RuntimeError(f"the task did not end well: {last}")
    return seconds


def sync_time(file: int) -> float:
    """Append what a transaction of a task has to an open file, and sync it; return the seconds."""
    data = bytes(6 * 4120)
    began = perf_counter()
    os.pwrite(file, data, 0)
    os.fdatasync(file)
    return perf_counter() - began


def measure_trip(tasks: int, rounds: int) -> None:
    """Measure and print the round trip over the socket."""
    times: dict[bool, list[float]] = {ledger: [] for ledger in LEDGER}
    syncs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as name:
        sample = Path(name, "sample")
        sample.write_bytes(b"sample")
        file = os.open(Path(name, "synced"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with (
            running(Path(name, "on"), manifest_of("empty", ledger=True)) as (on, _),
            running(Path(name, "off"), manifest_of("empty", ledger=False)) as (off, _),
            ControlClient(on) as asks_on,
            ControlClient(off) as asks_off,
        ):
            clients = {True: asks_on, False: asks_off}
            for round_ in range(rounds + 1):
                for ledger in LEDGER:
                    times[ledger] += [trip(clients[ledger], sample) for _ in range(tasks)]
                syncs += [sync_time(file) for _ in range(tasks)]
                if not round_:
                    for each in (*times.values(), syncs):
                        each.clear()  # the first round warms up
        os.close(file)
    print(f"{'round trip over the control socket, microseconds':<58} {'median':>8} {'p99':>8}")
    for ledger in LEDGER:
        print(row_of_times(NAMES[ledger], times[ledger]))
    print(row_of_times("24 KiB to an open file, and fdatasync", syncs))
    print(f"ratio: {median(times[True]) / median(times[False]):.2f} (target: at most {TARGET_TRIP})\n", flush=True)


def times_inside(*, ledger: bool, count: int, where: str) -> list[float]:
    """Return the seconds of one task after the other, in this process."""
    with open(os.devnull, "w") as nowhere, open_supervised("empty", log=nowhere, ledger=ledger) as supervised:
        place(where, (supervised.plugin_pid,))
        times = []
        for _ in range(WARM_UP + count):
            began = perf_counter()
            supervised.run_task()
            times.append(perf_counter() - began)
        return times[WARM_UP:]


def measure_inside(tasks: int, rounds: int, where: str) -> None:
    """Measure and print the round trip in this process."""
    times: dict[bool, list[float]] = {ledger: [] for ledger in LEDGER}
    for _ in range(rounds):
        for ledger in LEDGER:
            times[ledger] += times_inside(ledger=ledger, count=tasks, where=where)
    print(f"{'from the submission to the end, inside, microseconds':<58} {'median':>8} {'p99':>8}")
    for ledger in LEDGER:
        print(row_of_times(NAMES[ledger], times[ledger]))
    print(f"ratio: {median(times[True]) / median(times[False]):.2f}\n", flush=True)


# Many tasks.


def fill(state_dir: Path, count: int) -> None:
    """Make a ledger with so many tasks that have ended, each with an attempt and a result inside, in a state folder."""
    state_dir.mkdir(mode=0o700)
    path = ledger_path(state_dir)
    db = connect(path)
    make(db, path)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    begin = time.time() - count
    db.execute("BEGIN")
    db.execute(
        "INSERT INTO sessions (session, kind, pid, started, boot, opened_at, closed_at) VALUES (1,'up',1,1,'',?,?)",
        (begin, begin + count),
    )
    db.execute(
        f"INSERT INTO tasks {numbers} SELECT i, 1, 'empty', '1.0', '/samples/' || i, lower(hex(randomblob(32))), 6, "
        "'6:1:1:1', NULL, '{}', NULL, 0, 0, NULL, 'COMPLETED', NULL, 0.1, 0, ?1 + i, ?1 + i, ?1 + i FROM n",
        (begin,),
    )
    db.execute(
        f"INSERT INTO attempts {numbers} SELECT i, 1, 'empty', ?1 + i, ?1 + i, 'completed', NULL FROM n", (begin,)
    )
    db.execute(
        "INSERT INTO results (task, attempt, number, name, format, size, sha256, path, at, data) "
        f"{numbers} SELECT i, 1, 1, 'info', 'json', 200, lower(hex(randomblob(32))), NULL, ?1 + i, "
        "CAST('{\"a\":\"' || hex(randomblob(96)) || '\"}' AS BLOB) FROM n",
        (begin,),
    )
    db.execute("UPDATE counters SET value = ? WHERE name = 'next_task'", (count + 1,))
    db.execute("COMMIT")
    db.close()


def seconds_of(*arguments: str) -> float:
    """Run `malbox` with these arguments; return the seconds until it has ended well."""
    began = perf_counter()
    subprocess.run([_malbox(), *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def start_of(folder: Path) -> float:
    """Return the seconds from the start of `malbox up -d` until every plugin is READY, and stop it again."""
    path = str(folder / "plugins.toml")
    seconds = seconds_of("up", "-d", "-f", path)
    subprocess.run([_malbox(), "down", "-f", path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return seconds


def measure_size(rounds: int) -> None:
    """Measure and print what many tasks in the ledger cost the commands that look at it, and the start."""
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as name:
        folders = {count: Path(name, str(count)) for count in (FEW, MANY)}
        times: dict[str, dict[int, list[float]]] = {}
        for count, folder in folders.items():
            folder.mkdir()
            (folder / "plugins.toml").write_text(manifest_of("empty"))
            fill(folder / "state", count)
        for _ in range(2 * rounds):
            for count, folder in folders.items():
                manifest = ("-f", str(folder / "plugins.toml"))
                kinds = {
                    "malbox tasks": seconds_of("tasks", *manifest),
                    "malbox tasks --state FAILED": seconds_of("tasks", "--state", "FAILED", *manifest),
                    "malbox show": seconds_of("show", str(count // 2), *manifest),
                    "malbox up, until READY": start_of(folder),
                }
                for what, seconds in kinds.items():
                    times.setdefault(what, {}).setdefault(count, []).append(seconds)
    print(f"{'milliseconds, with so many tasks in the ledger':<46} {MANY:>8} {FEW:>8} {'ratio':>6}")
    for what, by_count in times.items():
        many, few = median(by_count[MANY]), median(by_count[FEW])
        print(f"{what:<46} {many * 1e3:8.1f} {few * 1e3:8.1f} {many / few:6.2f}")
    print(f"(target: at most {TARGET_SIZE})\n", flush=True)


# Memory.


def memory_of(pid: int) -> float:
    """Return what a process has in memory, in MiB."""
    text = Path("/proc", str(pid), "status").read_text()
    return int(text.partition("\nVmRSS:")[2].split()[0]) / 1024


def peak_while(pid: int, seconds: float, do: Callable[[], None]) -> float:
    """Do something again and again for so long, and return the most that a process had in memory meanwhile."""
    peak, until = 0.0, perf_counter() + seconds
    while perf_counter() < until:
        do()
        peak = max(peak, memory_of(pid))
    return peak


@contextmanager
def pushing(owner: Owner, sample: Path) -> Iterator[socket.socket]:
    """Have a task push results to this end of a connection for the length of a block."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(owner.socket)
        connection.sendall(encode(Submitting("pushes", str(sample))).encode() + b"\n")
        connection.setblocking(False)
        yield connection


def read_all(connection: socket.socket) -> None:
    """Read what there is, and wait a little where there is nothing."""
    if select.select([connection], [], [], 0.01)[0]:
        connection.recv(MEBIBYTE)


def measure_memory(seconds: float) -> None:
    """Measure and print how far the memory of a supervisor grows."""
    peaks: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as name:
        sample = Path(name, "sample")
        sample.write_bytes(b"sample")
        with running(Path(name, "on"), manifest_of("pushes")) as (owner, up):
            before = memory_of(up.pid)
            with pushing(owner, sample) as connection:
                for what in ("for so long", "as long again"):
                    peak = peak_while(up.pid, seconds, lambda: read_all(connection))
                    peaks[f"a plugin that pushes as fast as it can, {what}"] = before, peak
            before = memory_of(up.pid)
            with pushing(owner, sample):
                peaks["a command that does not read"] = before, peak_while(up.pid, seconds, lambda: time.sleep(0.01))
            before = memory_of(up.pid)
            with pushing(owner, sample) as connection:
                read_all(connection)
                with closing(sqlite3.connect(ledger_path(Path(name, "on", "state")), isolation_level=None)) as db:
                    db.execute("PRAGMA busy_timeout = 10000")
                    db.execute("BEGIN IMMEDIATE")  # nobody else can write to the ledger until this ends
                    peak = peak_while(up.pid, seconds, lambda: read_all(connection))
                    db.execute("ROLLBACK")
                peaks["a ledger that cannot be written to"] = before, peak
    print(f"{f'memory of malbox up, MiB, {seconds:g} s each':<58} {'before':>8} {'peak':>8}")
    for what, (before, peak) in peaks.items():
        print(f"{what:<58} {before:8.1f} {peak:8.1f}")


def _malbox() -> str:
    return str(Path(sysconfig.get_path("scripts"), "malbox"))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ("rate", "trip", "inside", "size", "memory")
    parser.add_argument("parts", nargs="*", default=parts, help=f"which of {', '.join(parts)} (default: all)")
    parser.add_argument("--tasks", type=int, default=2000, help="tasks in each round of `rate` (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs in turn (default: 5)")
    parser.add_argument("--cores", choices=PLACES, default="free", help="where rate and inside run (default: free)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each of `memory` lasts (default: 10)")
    options = parser.parse_args()
    if "rate" in options.parts:
        measure_rate(options.tasks, options.rounds, options.cores)
    if "trip" in options.parts:
        measure_trip(200, 4 * options.rounds)
    if "inside" in options.parts:
        measure_inside(500, options.rounds, options.cores)
    if "size" in options.parts:
        measure_size(options.rounds)
    if "memory" in options.parts:
        measure_memory(options.seconds)


if __name__ == "__main__":
    main()
