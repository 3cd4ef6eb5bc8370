"""The processor time of an idle supervisor and its plugins.

`malbox up` runs the two example plugins in processes as a user has them, and is left alone. The time that every thread
of the supervisor, its guardian and the plugins has run is read from the kernel (`schedstat`, in nanoseconds) before and
after; so are its wake-ups, by the context switches that a thread asked for.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

TARGET_PERCENT = 0.1
SETTLE_SECONDS = 2.0
START_SECONDS = 30.0
EXAMPLES = Path(__file__).parent.parent / "examples" / "plugins"
MANIFEST = """
[malbox]
state_dir = "state"
[plugins.file-info]
path = "{examples}/file-info"
[plugins.yara]
path = "{examples}/yara"
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used: nanoseconds on a core, and how often its threads went to sleep by themselves."""

    nanoseconds: int
    sleeps: int

    @classmethod
    def of(cls, pid: int) -> "Use":
        """Return what a process has used so far."""
        nanoseconds = sleeps = 0
        for thread in Path("/proc", str(pid), "task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
            status = (thread / "status").read_text()
            sleeps += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return cls(nanoseconds, sleeps)


def processes_of(supervisor: int, manifest: Path) -> dict[str, int]:
    """Return the processes by what they are, once every plugin is READY.

    Raises:
        RuntimeError: One does not get ready.
    """
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        status = subprocess.run(
            [_malbox(), "status", "--json", "-f", str(manifest)], check=False, capture_output=True, text=True
        )
        plugins = json.loads(status.stdout)["plugins"] if status.stdout else []
        if plugins and all(plugin["state"] == "READY" for plugin in plugins):
            found = {"supervisor": supervisor} | {f"plugin {plugin['id']}": plugin["pid"] for plugin in plugins}
            others = {child.pid for child in psutil.Process(supervisor).children(recursive=True)} - set(found.values())
            return found | {f"helper {pid}": pid for pid in others}
        time.sleep(0.1)
    raise RuntimeError("the plugins did not get ready; is the extra `analysis` installed?")


def _malbox() -> str:
    return str(Path(sysconfig.get_path("scripts"), "malbox"))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to look (default: 30)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-") as folder:
        manifest = Path(folder, "plugins.toml")
        manifest.write_text(MANIFEST.format(examples=EXAMPLES.resolve()))
        supervisor = subprocess.Popen(
            [_malbox(), "up", "-f", str(manifest)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            processes = processes_of(supervisor.pid, manifest)
            time.sleep(SETTLE_SECONDS)
            before = {name: Use.of(pid) for name, pid in processes.items()}
            began = time.monotonic()
            time.sleep(options.seconds)
            seconds = time.monotonic() - began
            after = {name: Use.of(pid) for name, pid in processes.items()}
        finally:
            supervisor.terminate()
            supervisor.wait()
    total = 0.0
    print(f"{f'over {seconds:.1f} s':<24} {'% of a core':>12} {'sleeps / s':>12}")
    for name in processes:
        percent = (after[name].nanoseconds - before[name].nanoseconds) / 1e9 / seconds * 100
        total += percent
        print(f"{name:<24} {percent:12.4f} {(after[name].sleeps - before[name].sleeps) / seconds:12.2f}")
    print(f"{'all':<24} {total:12.4f}   (target: under {TARGET_PERCENT})")
    if total >= TARGET_PERCENT:
        sys.exit(1)


if __name__ == "__main__":
    main()
