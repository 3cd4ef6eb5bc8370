"""Does not notice that its task is cancelled: a loop in Python, or one in C that keeps the interpreter's lock."""

import re

import plugin_runtime as malbox


class IgnoresCancel(malbox.Plugin):
    """Works until it is killed."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Work for ever, if the task says how."""
        how = ctx.task().config_value("how")
        if how is None:
            return
        ctx.progress(0.5, "working")
        if how == "c":
            re.match(r"(a+)+$", "a" * 64 + "b")
        while True:
            pass


if __name__ == "__main__":
    malbox.run(IgnoresCancel())
