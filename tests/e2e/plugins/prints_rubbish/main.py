"""Prints the bytes that its task says, to standard output and then to standard error."""

import os

import plugin_runtime as malbox


class PrintsRubbish(malbox.Plugin):
    """Prints in its handler."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Print, then push a result."""
        config = ctx.task().config
        os.write(1, bytes.fromhex(config.get("out", "")))
        os.write(2, bytes.fromhex(config.get("err", "")))
        ctx.results().push(malbox.PluginResult.json("done", True))


if __name__ == "__main__":
    malbox.run(PrintsRubbish())
