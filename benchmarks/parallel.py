"""What it brings to work on several tasks at once: in one process, and in several.

- `many`: one process with eight tasks at once (`execution = "parallel"`) against one with one after the other: tasks
  that wait for 5 ms, with handlers on threads and as coroutines, and tasks that do nothing.
- `instances`: four processes of a plugin that computes in Python against one.

In each, many tasks are submitted at once, and the time is taken from then until the last of them has ended, in a real
supervisor as `malbox up` puts it together, each task's sample read. What is compared runs in turn, for several rounds,
each in a supervisor of its own that has done some tasks before.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from figures import median
from supervised import Supervised, open_supervised, spec_of

from malbox_cli.control.records import Ended, Outcome, Record
from malbox_cli.manifest.specs import PluginSpec

MANY = 8
INSTANCES = 4
WAIT_SECONDS = 0.005
TARGET_MANY = 2.5
TARGET_INSTANCES = 1.8
WARM_UP = 50


def one_at_a_time(name: str, **config: str) -> tuple[PluginSpec, ...]:
    """Return a plugin with one task after the other."""
    return (spec_of(name, config),)


def many_at_once(name: str, **config: str) -> tuple[PluginSpec, ...]:
    """Return a plugin with `MANY` tasks at once in one process."""
    return (replace(spec_of(name, config), execution="parallel", concurrency=MANY),)


def instances(name: str, **config: str) -> tuple[PluginSpec, ...]:
    """Return `INSTANCES` processes of a plugin, with one task after the other each."""
    spec = spec_of(name, config)
    return tuple(replace(spec, id=f"{name}-{number}", group=name) for number in range(1, INSTANCES + 1))


def run_all(supervised: Supervised, count: int) -> float:
    """Submit so many tasks and run the supervisor until all have ended; return the seconds.

    Raises:
        RuntimeError: One did not end well.
    """
    ended: list[Ended] = []

    def take(record: Record) -> None:
        if isinstance(record, Ended):
            ended.append(record)

    supervised.on_record = take
    began = perf_counter()
    for _ in range(count):
        supervised.submit()
    supervised.session.reactor.run_until(lambda: len(ended) == count)
    seconds = perf_counter() - began
    for record in ended:
        if record.outcome is not Outcome.COMPLETED:
            raise RuntimeError(f"task {record.task} {record.outcome.value}: {record.error}")
    return seconds


def rate_of(specs: Sequence[PluginSpec], count: int) -> float:
    """Return how many tasks a second a supervisor with these plugins does."""
    with open(os.devnull, "w") as nowhere, open_supervised(specs[0].pool, log=nowhere, specs=specs) as supervised:
        run_all(supervised, WARM_UP)
        return count / run_all(supervised, count)


def compare(what: str, ours: Sequence[PluginSpec], theirs: Sequence[PluginSpec], count: int, rounds: int) -> float:
    """Print a line of the table, and return the ratio."""
    pairs = [(rate_of(ours, count), rate_of(theirs, count)) for _ in range(rounds)]
    at_once, against = (median([pair[side] for pair in pairs]) for side in (0, 1))
    print(f"{what:<60} {at_once:9.0f} {against:9.0f} {at_once / against:7.2f}", flush=True)
    return at_once / against


def measure_many(tasks: int, rounds: int) -> None:
    """Measure one process with many tasks."""
    wait = {"seconds": str(WAIT_SECONDS)}
    threads = compare(
        f"{MANY} at once that wait {WAIT_SECONDS * 1e3:.0f} ms, threads",
        many_at_once("waits", **wait),
        one_at_a_time("waits", **wait),
        tasks,
        rounds,
    )
    coroutines = compare(
        f"{MANY} at once that wait {WAIT_SECONDS * 1e3:.0f} ms, coroutines",
        many_at_once("waits_async", **wait),
        one_at_a_time("waits_async", **wait),
        tasks,
        rounds,
    )
    compare(f"{MANY} at once that do nothing", many_at_once("empty"), one_at_a_time("empty"), tasks, rounds)
    print(f"the lesser ratio of those that wait: {min(threads, coroutines):.2f} (target: at least {TARGET_MANY})")


def measure_instances(computing: int, tasks: int, rounds: int) -> None:
    """Measure several processes of a plugin."""
    config = {"rounds": str(computing)}
    ratio = compare(
        f"{INSTANCES} processes that compute",
        instances("computes", **config),
        one_at_a_time("computes", **config),
        tasks,
        rounds,
    )
    print(f"ratio: {ratio:.2f} (target: at least {TARGET_INSTANCES}, on {len(os.sched_getaffinity(0))} processors)")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=["many", "instances"], help="which of many, instances")
    parser.add_argument("--tasks", type=int, default=400, help="tasks in each round (default: 400)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs in turn (default: 5)")
    parser.add_argument(
        "--computing", type=int, default=200_000, help="rounds of a task that computes (default: 200000)"
    )
    options = parser.parse_args()
    print(f"{'tasks a second':<60} {'at once':>9} {'in turn':>9} {'ratio':>7}")
    if "many" in options.parts:
        measure_many(options.tasks, options.rounds)
    if "instances" in options.parts:
        measure_instances(options.computing, max(WARM_UP, options.tasks // 4), options.rounds)


if __name__ == "__main__":
    main()
