"""Is killed in the middle of a large result, after a small one."""

import os
import signal
import sys
import threading
from pathlib import Path

import plugin_runtime as malbox


class DiesMidChunk(malbox.Plugin):
    """Kills its process while a result of 100 MiB is on its way."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Push a result whole, and one that stays a part."""
        ctx.results().push(malbox.PluginResult.json("whole", {"ok": True}))
        sys.setswitchinterval(1e-4)
        threading.Thread(target=die_when_something_arrived, args=(Path(ctx.task().config["results"]),)).start()
        ctx.results().push_bytes("part", bytes(100 << 20))


def die_when_something_arrived(results: Path) -> None:
    """Watch what the supervisor writes, and end this process once it is more than nothing."""
    while not any(path.stat().st_size for path in results.glob("objects/tmp/*")):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    malbox.run(DiesMidChunk())
