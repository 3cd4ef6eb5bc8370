"""Pushes its environment as it finds it."""

import os

import plugin_runtime as malbox


class ShowsEnvironment(malbox.Plugin):
    """A plugin that behaves."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Push every variable."""
        ctx.results().push(malbox.PluginResult.json("environment", dict(os.environ)))


if __name__ == "__main__":
    malbox.run(ShowsEnvironment())
