"""A plugin whose task waits for as many seconds as its configuration says: for a disk, a network, a sandbox."""

import time

import plugin_runtime as malbox


class Waits(malbox.Plugin):
    """Waits, and does nothing else."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Wait."""
        time.sleep(float(ctx.task().config["seconds"]))


if __name__ == "__main__":
    malbox.run(Waits())
