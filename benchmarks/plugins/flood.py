"""A plugin that prints lines of 80 bytes as fast as they are taken, to the file that its configuration names."""

import os
import threading

import plugin_runtime as malbox

BLOCK = (b"x" * 79 + b"\n") * 800


class Flood(malbox.Plugin):
    """Prints beside its tasks, of which it gets none."""

    def on_start(self, config: dict[str, str]) -> None:
        """Begin to print."""
        descriptor = os.open(config["to"], os.O_WRONLY)
        threading.Thread(target=self._print, args=(descriptor,), daemon=True).start()

    def on_task(self, ctx: malbox.Context) -> None:
        """Do nothing."""

    def _print(self, descriptor: int) -> None:
        while True:
            rest = memoryview(BLOCK)
            while rest:
                rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    malbox.run(Flood())
