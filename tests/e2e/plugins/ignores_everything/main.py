"""Ignores every signal that can be ignored and every request to stop, and so does what it starts."""

import signal
import subprocess
import sys
import threading

import plugin_runtime as malbox

IGNORE = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print("there", flush=True)
while True:
    signal.pause()
"""


class IgnoresEverything(malbox.Plugin):
    """Starts one like itself in its own session and one in another, and never stops."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start them, and say which they are."""
        pids = []
        for escapes in (False, True):
            child = subprocess.Popen([sys.executable, "-c", IGNORE], stdout=subprocess.PIPE, start_new_session=escapes)
            assert child.stdout is not None
            child.stdout.readline()
            pids.append(child.pid)
        ctx.results().push(malbox.PluginResult.json("pids", pids))

    def on_stop(self) -> None:
        """Wait for what never comes."""
        threading.Event().wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    malbox.run(IgnoresEverything())
