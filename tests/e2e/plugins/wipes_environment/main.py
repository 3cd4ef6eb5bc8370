"""Starts a process that has nothing of its environment, in a session of its own and with its parent gone."""

import subprocess

import plugin_runtime as malbox


class WipesEnvironment(malbox.Plugin):
    """Starts it with a shell that ends."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Start it, and say which it is."""
        script = "setsid sleep 600 >/dev/null 2>&1 & echo $!"
        done = subprocess.run(["/bin/sh", "-c", script], env={}, stdout=subprocess.PIPE, check=True)
        ctx.results().push(malbox.PluginResult.json("pids", [int(done.stdout)]))


if __name__ == "__main__":
    malbox.run(WipesEnvironment())
