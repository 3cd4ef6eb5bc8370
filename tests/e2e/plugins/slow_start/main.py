"""Is ready when the file that its configuration names is there."""

import time
from pathlib import Path

import plugin_runtime as malbox


class SlowStart(malbox.Plugin):
    """Waits for a file."""

    def on_start(self, config: dict[str, str]) -> None:
        """Wait for it."""
        while not Path(config["until"]).exists():
            time.sleep(0.005)

    def on_task(self, ctx: malbox.Context) -> None:
        """Say that it came."""
        ctx.results().push(malbox.PluginResult.json("late", True))


if __name__ == "__main__":
    malbox.run(SlowStart())
