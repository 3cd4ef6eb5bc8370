"""Calls `sys.exit` in its handler."""

import sys

import plugin_runtime as malbox


class CallsSysExit(malbox.Plugin):
    """Thinks that it is a script."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Exit, if the task does not say otherwise."""
        if ctx.task().config_value("well") is None:
            sys.exit(3)


if __name__ == "__main__":
    malbox.run(CallsSysExit())
