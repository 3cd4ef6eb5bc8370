"""Starts daemons: processes in sessions of their own whose parent has ended."""

import subprocess
import sys

import plugin_runtime as malbox

DAEMON = """
import os, signal
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
os.close(1)
signal.pause()
"""


class DoubleForks(malbox.Plugin):
    """Starts three."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start them, and say which they are."""
        started = [subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, check=True) for _ in range(3)]
        ctx.results().push(malbox.PluginResult.json("pids", [int(done.stdout) for done in started]))


if __name__ == "__main__":
    malbox.run(DoubleForks())
