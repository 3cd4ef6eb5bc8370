"""A link of a chain: pushes what its task asks for, passes on what it gets, and writes down when it had it."""

import os
import time
from pathlib import Path

import plugin_runtime as malbox


class Link(malbox.Plugin):
    """The first link pushes, those in between pass on, and each notes the moments."""

    def __init__(self) -> None:
        self._data = b""

    def on_start(self, config: dict[str, str]) -> None:
        """Remember where to note them."""
        self._log = Path(config["log"])
        self._passes_on = config.get("passes_on") == "yes"

    def on_task(self, ctx: malbox.Context) -> None:
        """Push results."""
        config = ctx.task().config
        size, count = int(config["size"]), int(config["count"])
        if len(self._data) != size:
            self._data = os.urandom(min(size, 1 << 20)) * max(1, size >> 20)
        began = time.monotonic()
        for _ in range(count):
            ctx.results().push_bytes("bulk", self._data)
        self._note(began, time.monotonic())

    def on_event(self, event: malbox.Event) -> None:
        """Take a result and pass it on."""
        if event.kind == "PluginResultAvailable":
            data = event.data()
            has_it = time.monotonic()
            if self._passes_on:
                event.results().push_bytes("bulk", data)
            self._note(has_it, time.monotonic())

    def _note(self, *moments: float) -> None:
        with self._log.open("a") as stream:
            stream.write(" ".join(map(repr, moments)) + "\n")


if __name__ == "__main__":
    malbox.run(Link())
