"""Starts a process of its own that would outlive it, and holds its standard output open."""

import subprocess
import sys

import plugin_runtime as malbox


class LeavesChild(malbox.Plugin):
    """Starts a process, in a session of its own where the task says so."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start it, and say which it is."""
        escapes = ctx.task().config_value("escapes") is not None
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=escapes)
        ctx.results().push(malbox.PluginResult.json("pid", child.pid))


if __name__ == "__main__":
    malbox.run(LeavesChild())
