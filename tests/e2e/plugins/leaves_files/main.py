"""Leaves files in its task's folder and logs, prints and fails in every way that there is."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading

import plugin_runtime as malbox


class LeavesFiles(malbox.Plugin):
    """Does so in its handler."""

    def on_start(self, config: dict[str, str]) -> None:
        """Say so."""
        del config
        print("started")  # noqa: T201 - that it prints is the point

    async def on_task(self, ctx: malbox.Context) -> None:
        """Leave files, and say things."""
        folder = ctx.artifact_dir
        (folder / "sub").mkdir()
        (folder / "sub" / "dropped.bin").write_bytes(b"x" * (2 << 20))
        (folder / "note.txt").write_text("note")
        (folder / "no.tmp").write_text("no")
        print(f"folder {folder}")  # noqa: T201 - that it prints is the point
        if ctx.task().config_value("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        malbox.warn("strange")
        logging.getLogger("noisy").debug("detail", extra={"found": 3})
        logging.getLogger("quiet").debug("dropped")
        thread = threading.Thread(target=lambda: {}["missing"])
        thread.start()
        thread.join()
        asyncio.get_running_loop().call_soon(lambda: [][1])
        await asyncio.sleep(0)
        forged = "import os, sys; sys.stdout.write('\\x1e%s error 99 \\x1fforged\\n' % os.environ.get('MALBOX_LOG'))"
        subprocess.run([sys.executable, "-c", forged], check=True)


if __name__ == "__main__":
    malbox.run(LeavesFiles())
