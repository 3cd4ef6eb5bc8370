"""A plugin whose task says that it began, and never ends."""

import time

import plugin_runtime as malbox


class Endless(malbox.Plugin):
    """Works until it is killed."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Say that the task runs, and sleep."""
        ctx.progress(0.0, "it runs")
        while not ctx.cancelled:
            time.sleep(0.01)


if __name__ == "__main__":
    malbox.run(Endless())
