"""Fills what is left of shared memory, then pushes a large result; once, then it behaves."""

import os
from pathlib import Path

import plugin_runtime as malbox

FILLER = Path("/dev/shm/filler")


class FillsSharedMemory(malbox.Plugin):
    """Does with its first task what another program on the machine could do at any time."""

    did_it = False

    def on_task(self, ctx: malbox.Context) -> None:
        """Push a result into a full /dev/shm."""
        if self.did_it:
            return
        self.did_it = True
        with FILLER.open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(1 << 16)):
                    pass
            except OSError:
                os.sync()
        try:
            ctx.results().push_bytes("large", bytes(100 << 20))
        finally:
            FILLER.unlink()


if __name__ == "__main__":
    malbox.run(FillsSharedMemory())
