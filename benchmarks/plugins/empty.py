"""A plugin whose task does nothing."""

import plugin_runtime as malbox


class Empty(malbox.Plugin):
    """Takes a task and ends it."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Do nothing."""


if __name__ == "__main__":
    malbox.run(Empty())
