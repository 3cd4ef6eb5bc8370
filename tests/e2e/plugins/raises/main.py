"""Raises in its handler, after a result."""

import plugin_runtime as malbox


class Raises(malbox.Plugin):
    """Has a bug."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Fail, if the task does not say otherwise."""
        ctx.results().push(malbox.PluginResult.json("before", 1))
        if ctx.task().config_value("well") is None:
            raise ValueError("the header has no magic")


if __name__ == "__main__":
    malbox.run(Raises())
