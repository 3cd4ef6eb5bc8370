"""Starts a process in a session of its own that holds its output open, and writes to it for ever."""

import subprocess
import sys

import plugin_runtime as malbox

WRITES = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    print("still here", flush=True)
    time.sleep(0.05)
"""


class HoldsStdout(malbox.Plugin):
    """Starts one."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start it, and say which it is."""
        child = subprocess.Popen([sys.executable, "-c", WRITES], start_new_session=True)
        ctx.results().push(malbox.PluginResult.json("pids", [child.pid]))


if __name__ == "__main__":
    malbox.run(HoldsStdout())
