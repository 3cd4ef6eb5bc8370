"""A plugin whose task awaits for as many seconds as its configuration says."""

import asyncio

import plugin_runtime as malbox


class WaitsAsync(malbox.Plugin):
    """Awaits, and does nothing else."""

    async def on_task(self, ctx: malbox.Context) -> None:
        """Await."""
        await asyncio.sleep(float(ctx.task().config["seconds"]))


if __name__ == "__main__":
    malbox.run(WaitsAsync())
