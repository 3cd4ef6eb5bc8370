"""Starts fifty processes at once, most of them below others, each in a session of its own."""

import subprocess
import sys

import plugin_runtime as malbox

BURST = """
import os, signal
for number in range(10):
    if os.fork() == 0:
        os.setsid()
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
                break
        os.write(1, b"%d\\n" % os.getpid())
        os.close(1)
        signal.pause()
"""


class BurstOfForks(malbox.Plugin):
    """Starts ten, and four below each."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start them, and say which they are."""
        done = subprocess.run([sys.executable, "-c", BURST], stdout=subprocess.PIPE, check=True)
        ctx.results().push(malbox.PluginResult.json("pids", [int(word) for word in done.stdout.split()]))


if __name__ == "__main__":
    malbox.run(BurstOfForks())
