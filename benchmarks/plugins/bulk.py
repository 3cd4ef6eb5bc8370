"""A plugin that pushes one big result, of as many MiB as the task's configuration says under `mebibytes`."""

import os

import plugin_runtime as malbox

MEBIBYTE = 1 << 20


class Bulk(malbox.Plugin):
    """Keeps the last result that it made, so that making it is not timed twice."""

    def __init__(self) -> None:
        self._data = bytearray()

    def on_task(self, ctx: malbox.Context) -> None:
        """Push the result."""
        mebibytes = int(ctx.task().config_value("mebibytes") or "1")
        if len(self._data) != mebibytes * MEBIBYTE:
            self._data = bytearray(os.urandom(MEBIBYTE)) * mebibytes
        ctx.results().push_bytes("bulk", self._data)


if __name__ == "__main__":
    malbox.run(Bulk())
