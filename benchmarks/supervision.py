"""What supervision costs, and how soon it acts: a death, many plugins, a supervisor that is killed.

- `death`: from SIGKILL of an idle plugin until the supervisor's status says so; and from the wish to start it again
  until it is READY, against the first start in the same supervisor.
- `many`: from the start of `malbox up` until all of many plugins are READY, against a script that starts as many
  processes which only import iceoryx2 and open the same ports (`bare_start.py`); the stop of all of them; and the
  processor time of everything when nothing happens.
- `killed`: from `kill -9` of a supervisor until no process, folder or shared memory of it is left.
"""

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from figures import median, percentile
from idle import Use
from supervised import open_supervised

from malbox_cli.supervisor.events import PluginsAsked
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.run_folder import prefix_of_runs

PLUGIN = "empty"
PROGRAM = Path(__file__).parent / "plugins" / f"{PLUGIN}.py"
BARE = Path(__file__).with_name("bare_start.py")
MALBOX = (sys.executable, "-m", "malbox_cli.cli")
SHARED_MEMORY = Path("/dev/shm")
PATIENCE_SECONDS = 120.0

Started = tuple[subprocess.Popen[bytes], float]


def show(what: str, seconds: list[float], against: list[float] | None = None) -> None:
    """Print a line of the table."""
    text = f"{what:<52} {median(seconds) * 1e3:9.1f} {percentile(seconds, 0.99) * 1e3:9.1f}"
    if against:
        text += f" {median(against) * 1e3:9.1f} {median(seconds) / median(against):7.2f}"
    print(text, flush=True)


def measure_deaths(rounds: int) -> None:
    """Kill a plugin again and again in one supervisor."""
    noticed, again, cold = list[float](), list[float](), list[float]()
    for _ in range(5):
        with open(os.devnull, "w") as nowhere, open_supervised(PLUGIN, log=nowhere) as supervised:
            plugin = supervised.session.machine.plugins[0]
            assert plugin.ready_at is not None
            assert plugin.spawned_at is not None
            cold.append(plugin.ready_at - plugin.spawned_at)
    with open(os.devnull, "w") as nowhere, open_supervised(PLUGIN, log=nowhere) as supervised:
        reactor, machine = supervised.session.reactor, supervised.session.machine
        plugin = machine.plugins[0]
        ended_at = 0.0

        def changed(plugin_id: str) -> None:
            nonlocal ended_at
            del plugin_id
            if plugin.state is PluginState.FAILED:
                ended_at = time.perf_counter()

        reactor.on_change = changed
        for _ in range(rounds):
            killed_at = time.perf_counter()
            os.kill(supervised.plugin_pid, signal.SIGKILL)
            reactor.run_until(lambda: plugin.state is PluginState.FAILED)
            noticed.append(ended_at - killed_at)
            reactor.handle(PluginsAsked("start", (PLUGIN,)))
            reactor.run_until(lambda: plugin.state is PluginState.READY)
            assert plugin.ready_at is not None
            assert plugin.spawned_at is not None
            again.append(plugin.ready_at - plugin.spawned_at)
    show("SIGKILL until the status says so", noticed)
    show("spawned again until READY, against a first start", again, cold)


@contextmanager
def manifest_of(count: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """Write a manifest of so many plugins; yield it, and the environment with a runtime folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mbs", dir="/tmp") as folder:
        tables = [f'[plugins.p{number}]\ncommand = ["{{python}}", "{PROGRAM}"]\n' for number in range(count)]
        manifest = Path(folder, "plugins.toml")
        manifest.write_text("".join(tables))
        yield manifest, {**os.environ, "MALBOX_RUNTIME_DIR": f"{folder}/r"}


def start(
    argv: list[str], line: bytes, environment: dict[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], float]:
    """Start a program; return it and the seconds until it printed something with `line` in it.

    Raises:
        RuntimeError: It does not.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    printed = b""
    while line not in printed:
        if not select.select([process.stdout], [], [], PATIENCE_SECONDS)[0]:
            raise RuntimeError(f"it does not get ready:\n{printed.decode()}")
        part = os.read(process.stdout.fileno(), 1 << 16)
        if not part:
            raise RuntimeError(f"it ended:\n{printed.decode()}")
        printed += part
    return process, time.perf_counter() - began


def end(process: subprocess.Popen[bytes], number: int | None = None) -> float:
    """End a program with a signal, or by the end of its standard input; return the seconds until it has ended."""
    began = time.perf_counter()
    if number is not None:
        process.send_signal(number)
    process.communicate(timeout=PATIENCE_SECONDS)
    return time.perf_counter() - began


def start_up(manifest: Path, environment: dict[str, str]) -> Started:
    """Start `malbox up`; return it and the seconds until every plugin was READY."""
    return start([*MALBOX, "up", "-f", str(manifest)], b"every plugin is READY", environment)


def measure_many(count: int, rounds: int, idle_seconds: float) -> None:
    """Start and stop many plugins, in turn with as many processes that nobody supervises."""
    bare, ours, stops = list[float](), list[float](), list[float]()
    with manifest_of(count) as (manifest, environment):
        for _ in range(rounds):
            process, seconds = start([sys.executable, str(BARE), str(count)], b"ready")
            bare.append(seconds)
            end(process)
            process, seconds = start_up(manifest, environment)
            ours.append(seconds)
            stops.append(end(process, signal.SIGTERM))
        process, _ = start_up(manifest, environment)
        everybody = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        time.sleep(2)
        before = [Use.of(pid) for pid in everybody]
        began = time.perf_counter()
        time.sleep(idle_seconds)
        seconds = time.perf_counter() - began
        used = [Use.of(pid).nanoseconds - use.nanoseconds for pid, use in zip(everybody, before, strict=True)]
        end(process, signal.SIGTERM)
    show(f"`malbox up` until {count} plugins are READY, against bare", ours, bare)
    show(f"SIGTERM until nothing of {count} plugins runs", stops)
    print(f"{'idle, percent of a core: the supervisor':<52} {used[0] / 1e7 / seconds:9.3f}")
    print(f"{'idle, percent of a core: all processes':<52} {sum(used) / 1e7 / seconds:9.3f}")


def measure_killed(count: int, rounds: int) -> None:
    """Kill a supervisor again and again, and look until nothing is left of it."""
    times = []
    for _ in range(rounds):
        with manifest_of(count) as (manifest, environment):
            runtime = Path(environment["MALBOX_RUNTIME_DIR"])
            prefix = prefix_of_runs(runtime)
            process, _ = start_up(manifest, environment)
            family = psutil.Process(process.pid).children(recursive=True)
            began = time.perf_counter()
            process.kill()
            process.wait()
            while (
                any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family)
                or (runtime.exists() and any(runtime.iterdir()))
                or any(name.startswith(prefix) for name in os.listdir(SHARED_MEMORY))
            ):
                if time.perf_counter() - began > PATIENCE_SECONDS:
                    raise RuntimeError("something is left")
                time.sleep(0.001)
            times.append(time.perf_counter() - began)
            process.communicate()
    show(f"kill -9 of a supervisor with {count} plugins until nothing is left", times)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=["death", "many", "killed"], help="which of death, many, killed")
    parser.add_argument("--deaths", type=int, default=200, help="how many plugins are killed (default: 200)")
    parser.add_argument("--plugins", type=int, default=64, help="how many plugins are many (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="how often they are started (default: 5)")
    parser.add_argument("--kills", type=int, default=20, help="how many supervisors are killed (default: 20)")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of looking at idle ones (default: 20)")
    options = parser.parse_args()
    print(f"{'milliseconds':<52} {'median':>9} {'p99':>9} {'against':>9} {'ratio':>7}")
    if "death" in options.parts:
        measure_deaths(options.deaths)
    if "many" in options.parts:
        measure_many(options.plugins, options.rounds, options.idle)
    if "killed" in options.parts:
        measure_killed(8, options.kills)


if __name__ == "__main__":
    main()
