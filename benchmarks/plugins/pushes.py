"""A plugin whose task pushes results of 60 KB of JSON as fast as they are taken, until it is cancelled."""

import json

import plugin_runtime as malbox

PAGE = json.dumps({"text": "x" * 60_000}).encode()


class Pushes(malbox.Plugin):
    """Pushes, and does nothing else."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Push results."""
        while not ctx.cancelled:
            ctx.results().push_json("page", PAGE)


if __name__ == "__main__":
    malbox.run(Pushes())
