"""Starts processes in sessions of their own, which outlive it."""

import subprocess

import plugin_runtime as malbox


class EscapesItsGroup(malbox.Plugin):
    """Starts two."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start them, and say which they are."""
        pids = [subprocess.Popen(["sleep", "600"], start_new_session=True).pid for _ in range(2)]
        ctx.results().push(malbox.PluginResult.json("pids", pids))


if __name__ == "__main__":
    malbox.run(EscapesItsGroup())
