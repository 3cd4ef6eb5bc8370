"""Does what its configuration says: results of given sizes, progress, warnings, waiting."""

import random
import time
from pathlib import Path

import plugin_runtime as malbox


class Echo(malbox.Plugin):
    """A plugin that behaves."""

    def on_start(self, config: dict[str, str]) -> None:
        """Keep the configuration."""
        self.start_config = config

    def on_task(self, ctx: malbox.Context) -> None:
        """Do each thing that the task's configuration asks for."""
        task = ctx.task()
        config = task.config
        results = ctx.results()
        if "progress" in config:
            steps = int(config["progress"])
            for step in range(1, steps + 1):
                ctx.progress(step / steps, f"step {step}")
        if "warn" in config:
            ctx.warn(config["warn"])
        if "until" in config:
            ctx.progress(0.5, "waiting")
            while not Path(config["until"]).exists():
                ctx.raise_if_cancelled()
                time.sleep(0.005)
        if "stat" in config:
            results.push(malbox.PluginResult.json("stat", {"size": task.sample_path.stat().st_size}))
        if "config" in config:
            results.push(malbox.PluginResult.json("config", {"task": config, "start": self.start_config}))
        if "json_size" in config:
            text = '"' + "x" * (int(config["json_size"]) - 2) + '"'
            results.push_json("text", text.encode())
        for size in config.get("sizes", "").split(","):
            if size:
                results.push_bytes(f"bytes-{size}", random.Random(int(size)).randbytes(int(size)))
        if "file" in config:
            results.push_file("file", config["file"])


if __name__ == "__main__":
    malbox.run(Echo())
