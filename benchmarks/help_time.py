"""How long `malbox --help` takes, against `python -c "import click"`.

The two run in turn as processes of their own, on the same interpreter, with their output thrown away; what is compared
are the medians from start to end. The installed console script is what is run, as a user runs it.
"""

import argparse
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from figures import median, percentile

TARGET = 2.0


def time_of(command: Sequence[str]) -> float:
    """Run a command; return the seconds that it took."""
    began = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="how often each is run (default: 40)")
    options = parser.parse_args()
    commands = {
        'python -c "import click"': [sys.executable, "-c", "import click"],
        "malbox --help": [str(Path(sysconfig.get_path("scripts"), "malbox")), "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        time_of(command)  # what is not in the page cache yet
    for _ in range(options.runs):
        for name, command in commands.items():
            times[name].append(time_of(command))
    print(f"{'milliseconds':<30} {'median':>8} {'p99':>8}")
    for name, seconds in times.items():
        print(f"{name:<30} {median(seconds) * 1e3:8.1f} {percentile(seconds, 0.99) * 1e3:8.1f}")
    base, help_ = times.values()
    print(f"\nratio: {median(help_) / median(base):.2f} (target: at most {TARGET})")


if __name__ == "__main__":
    main()
