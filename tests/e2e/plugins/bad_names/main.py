"""Pushes results under names that cannot travel."""

import plugin_runtime as malbox

NAMES = {"empty": "", "255": "ä" * 127 + "x", "256": "ä" * 128, "escapes": "../../\x1b[2J/etc/passwd"}


class BadNames(malbox.Plugin):
    """Pushes one result, under the name that the task's configuration says."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Push it."""
        ctx.results().push_bytes(NAMES[ctx.task().config["name"]], b"data")


if __name__ == "__main__":
    malbox.run(BadNames())
