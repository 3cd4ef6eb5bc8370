"""A plugin whose task computes in Python for a while, which takes Python's lock with it."""

import plugin_runtime as malbox


class Computes(malbox.Plugin):
    """Computes, and does nothing else."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Compute."""
        value = ctx.task().id
        for _ in range(int(ctx.task().config["rounds"])):
            value = (value * 1103515245 + 12345) & 0x7FFFFFFF


if __name__ == "__main__":
    malbox.run(Computes())
