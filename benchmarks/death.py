"""How soon a task fails whose plugin is killed: from SIGKILL in the middle of it to the announcement of its end.

In between the kernel ends the process, its pidfd wakes the supervisor, and the supervisor reaps it and takes in what it
had sent. The plugin is started again for the next round as a user would have to do it: with a new supervisor.
"""

import argparse
import os
import signal
from time import perf_counter

from figures import median, percentile
from supervised import open_supervised

from malbox_cli.control.records import Ended, Outcome, Progress, Record

PLUGIN = "endless"


def seconds_to_the_end() -> float:
    """Kill a plugin in a task; return the seconds until the task's end is announced.

    Raises:
        RuntimeError: The task did not fail.
    """
    killed = ended = 0.0
    outcome: Outcome | None = None
    # That the plugin was killed is nothing that whoever runs this has to be told.
    with open(os.devnull, "w") as nowhere, open_supervised(PLUGIN, log=nowhere) as supervised:

        def take(record: Record) -> None:
            nonlocal killed, ended, outcome
            if isinstance(record, Progress):
                killed = perf_counter()
                os.kill(supervised.plugin_pid, signal.SIGKILL)
            elif isinstance(record, Ended):
                ended, outcome = perf_counter(), record.outcome

        supervised.on_record = take
        supervised.submit()
        supervised.session.reactor.run_until(lambda: outcome is not None)
    if outcome is not Outcome.FAILED:
        raise RuntimeError(f"the task {outcome}")
    return ended - killed


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="how many plugins are killed (default: 20)")
    options = parser.parse_args()
    seconds = [seconds_to_the_end() for _ in range(options.rounds)]
    print(f"{'milliseconds':<40} {'median':>8} {'p99':>8}")
    print(f"{'SIGKILL to the end of the task':<40} {median(seconds) * 1e3:8.2f} {percentile(seconds, 0.99) * 1e3:8.2f}")


if __name__ == "__main__":
    main()
