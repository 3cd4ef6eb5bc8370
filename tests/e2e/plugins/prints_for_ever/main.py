"""Prints numbered lines as fast as it can, as long as it lives, or as many as its configuration says."""

import os
import sys
import threading

import plugin_runtime as malbox

LINES_AT_ONCE = 500


class PrintsForEver(malbox.Plugin):
    """Prints beside its handlers."""

    def on_start(self, config: dict[str, str]) -> None:
        """Begin to print."""
        lines = int(config.get("lines", sys.maxsize))
        threading.Thread(target=self._print, args=(lines,), daemon=True).start()

    def on_task(self, ctx: malbox.Context) -> None:
        """Push a result."""
        ctx.results().push(malbox.PluginResult.json("done", True))

    def _print(self, lines: int) -> None:
        for start in range(0, lines, LINES_AT_ONCE):
            rest = memoryview(b"".join(b"line %d\n" % number for number in range(start, start + LINES_AT_ONCE)))
            while rest:
                rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    malbox.run(PrintsForEver())
