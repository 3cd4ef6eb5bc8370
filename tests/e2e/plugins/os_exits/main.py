"""Ends its process in a task."""

import os
import signal
import sys
import threading

import plugin_runtime as malbox


class OsExits(malbox.Plugin):
    """Ends as the task's configuration says: by `signal`, or with `code`."""

    def on_task(self, ctx: malbox.Context) -> None:
        """End."""
        config = ctx.task().config
        sys.stdout.write("about to end\n")
        if "signal" in config:
            signal.pthread_kill(threading.get_ident(), signal.Signals[config["signal"]])
        os._exit(int(config.get("code", "7")))


if __name__ == "__main__":
    malbox.run(OsExits())
