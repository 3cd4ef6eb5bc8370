"""A big result through a chain of three plugins, against one copy through shared memory.

The chain is a, b that subscribes to a, and c that subscribes to b, each a process, under `malbox up`. A task of a
pushes the result; b passes on what it gets, when it has all of it; c takes it. The time is taken from the beginning of
the push in a until c has the result as bytes, so it is that of two hops, one after the other; what a hop makes is the
bytes by half of it. The supervisor gets the result of a meanwhile, and writes it to disk.

The bare exchange (`bare.py`) sends as many chunks of 1 MiB from one process to another, which copies each into memory
that it keeps, as a plugin that gets a result does.

Then b is stopped (SIGSTOP): how long pushes of 1 KiB take before, in the one in which b is waited for, and after it.
"""

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bare import Bare, open_bare, take_view
from figures import median

PLUGIN = Path(__file__).parent / "plugins" / "chain.py"
MALBOX = (sys.executable, "-m", "malbox_cli.cli")
TARGET = 0.5
PATIENCE = 60.0
SUBSCRIBE = {"a": "", "b": 'subscribe = ["a"]', "c": 'subscribe = ["b"]'}


class Chain:
    """The chain under a supervisor of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        tables = []
        for name, subscribe in SUBSCRIBE.items():
            passes_on = "yes" if name == "b" else "no"
            config = f'config = {{ log = "{self._log(name)}", passes_on = "{passes_on}" }}'
            command = f'command = ["{{python}}", "{PLUGIN}"]'
            tables.append("\n".join([f"[plugins.{name}]", command, config, subscribe, ""]))
        (folder / "plugins.toml").write_text("\n".join(tables))
        (folder / "sample").write_text("a sample")

    def malbox(self, *arguments: str) -> str:
        """Run a command."""
        argv = [*MALBOX, *arguments]
        return subprocess.run(argv, cwd=self._folder, check=True, stdout=subprocess.PIPE, text=True).stdout

    def push(self, size: int, count: int = 1) -> tuple[float, float]:
        """Have results pushed; return when that began and ended."""
        self.malbox("send-task", "a", "sample", "--set", f"size={size}", "--set", f"count={count}")
        return self.moments("a")[-1]

    def moments(self, name: str) -> list[tuple[float, float]]:
        """Return what a plugin noted."""
        log = self._log(name)
        lines = log.read_text().splitlines() if log.exists() else []
        return [(float(first), float(second)) for first, second in (line.split() for line in lines)]

    def arrival(self, number: int) -> float:
        """Return when the last one had so many results."""
        give_up_at = time.monotonic() + PATIENCE
        while len(found := self.moments("c")) < number:
            if time.monotonic() > give_up_at:
                raise TimeoutError("a result did not reach the end of the chain")
            time.sleep(0.01)
        return found[number - 1][0]

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def one_copy(bare: Bare, mebibytes: int) -> float:
    """Stream chunks into memory that is kept; return the seconds."""
    kept = io.BytesIO()
    return bare.stream(mebibytes, take_view(lambda view: kept.write(view)))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="how often each runs in turn (default: 10)")
    parser.add_argument("--mebibytes", type=int, default=64, help="the size of the result (default: 64)")
    options = parser.parse_args()
    size = options.mebibytes
    bares, chains = [], []
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as name, open_bare() as bare:
        chain = Chain(Path(name))
        chain.malbox("up", "--detach")
        try:
            for round_ in range(options.rounds + 1):
                seconds = one_copy(bare, size)
                began, _ = chain.push(size << 20)
                arrived = chain.arrival(round_ + 1)
                if round_:  # the first round warms up
                    bares.append(seconds)
                    chains.append(arrived - began)
            stopped = _pushes_beside_a_stopped_subscriber(chain)
        finally:
            chain.malbox("down")
    rate = size / 1024
    hop = median(chains) / 2
    print(f"{size} MiB, one copy through shared memory: {rate / median(bares):.2f} GiB/s")
    print(f"the chain of three, begin of the push to the last one: {rate / median(chains):.2f} GiB/s")
    print(f"each of its hops: {rate / hop:.2f} GiB/s, {median(bares) / hop:.2f} of the copy (target: {TARGET})")
    for what, seconds in stopped.items():
        print(f"100 results of 1 KiB, {what}: {seconds * 1000:.0f} ms")


def _pushes_beside_a_stopped_subscriber(chain: Chain) -> dict[str, float]:
    def push() -> float:
        began, ended = chain.push(1 << 10, 100)
        return ended - began

    seconds = {"b takes them": push()}
    pid = int(chain.malbox("status", "--json").split('"id": "b"')[1].split('"pid": ')[1].split(",")[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        seconds |= {"b is stopped, the first": push(), "b is stopped, later ones": push()}
    finally:
        os.kill(pid, signal.SIGCONT)
    return seconds


if __name__ == "__main__":
    main()
