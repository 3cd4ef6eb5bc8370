"""Pushes what its task asks for, passes on what it gets, and writes down what it got in a file of its own."""

import hashlib
import json
import os
import time
from pathlib import Path

import plugin_runtime as malbox


class Chains(malbox.Plugin):
    def on_start(self, config: dict[str, str]) -> None:
        self.log = Path(config["log"])
        self.passes_on = config.get("passes_on") == "yes"
        self.slow = float(config.get("slow", "0"))

    def on_task(self, ctx: malbox.Context) -> None:
        config = ctx.task().config
        count, size = int(config.get("count", "1")), int(config.get("size", "10"))
        began = time.monotonic()
        for number in range(count):
            ctx.results().push_bytes(f"result-{number}", bytes([number % 256]) * size)
        self.note({"pushed": count, "seconds": time.monotonic() - began})

    def on_event(self, event: malbox.Event) -> None:
        said = {"kind": event.kind, "id": event.id, "source": event.source, "name": event.result_name}
        said |= {"missed": event.missed, "at": time.monotonic()}
        if event.kind == "PluginResultAvailable":
            data = event.data()
            said |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest() if len(data) < 1 << 22 else ""}
            if self.passes_on:
                event.results().push_bytes(f"on-{event.result_name}", data)
        time.sleep(self.slow)
        self.note(said)

    def note(self, said: dict[str, object]) -> None:
        with open(self.log, "a") as stream:
            stream.write(json.dumps({**said, "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    malbox.run(Chains())
