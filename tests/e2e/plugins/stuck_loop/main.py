"""Its loop stands still: a task keeps the interpreter's lock in C, so that no other thread of the process runs."""

import re

import plugin_runtime as malbox


class StuckLoop(malbox.Plugin):
    """Works until a task says that it is to stand still."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Return at once, or never."""
        if ctx.task().config_value("stuck") is not None:
            ctx.progress(0.5, "about to stand still")
            re.match(r"(a+)+$", "a" * 64 + "b")


if __name__ == "__main__":
    malbox.run(StuckLoop())
