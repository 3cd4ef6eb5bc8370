"""A plugin for tests: it does what the task's configuration says, and appends what is called to a file."""

import os
import sys
import threading
import time

import plugin_runtime as malbox


class ScriptedPlugin(malbox.Plugin):
    """Behaves as its tasks say."""

    def note(self, what: str) -> None:
        with open(os.environ["LOG"], "a") as file:
            file.write(f"{what}\n")

    def on_start(self, config: dict[str, str]) -> None:
        self.note(f"on_start {config}")

    def on_stop(self) -> None:
        self.note("on_stop")

    def on_task(self, ctx: malbox.Context) -> None:
        self.note("on_task")
        what = ctx.task().config.get("do", "nothing")
        getattr(self, what)(ctx)

    def nothing(self, ctx: malbox.Context) -> None:
        """Return at once."""

    def echo(self, ctx: malbox.Context) -> None:
        size = int(ctx.task().config["size"])
        ctx.results().push_bytes("echo", b"e" * size)

    def push_for_ever(self, ctx: malbox.Context) -> None:
        while True:
            ctx.results().push_bytes("x", b"x" * (1 << 20))

    def spin(self, ctx: malbox.Context) -> None:
        self.never_end(ctx, pause=0.0)

    def sleep_on(self, ctx: malbox.Context) -> None:
        self.never_end(ctx, pause=0.01)

    def never_end(self, ctx: malbox.Context, *, pause: float) -> None:
        """Note that the task was cancelled, and go on."""
        while not ctx.cancelled:
            if pause:
                time.sleep(pause)
        self.note("cancelled")
        while True:
            if pause:
                time.sleep(pause)

    def wait_for_cancel(self, ctx: malbox.Context) -> None:
        ctx.progress(0.5, "waiting")
        while not ctx.cancelled:
            time.sleep(0.001)
        ctx.raise_if_cancelled()

    def crash(self, ctx: malbox.Context) -> None:
        del ctx
        os._exit(3)

    def leave_thread(self, ctx: malbox.Context) -> None:
        del ctx
        threading.Thread(target=time.sleep, args=(1000,)).start()


if __name__ == "__main__":
    malbox.run(ScriptedPlugin(), *sys.argv[1:])
