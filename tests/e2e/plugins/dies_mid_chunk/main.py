"""Is killed in the middle of a large result, after a small one."""

import os
import signal

import plugin_runtime as malbox
from plugin_runtime.channel import TaskChannel
from plugin_runtime.wire.codec import Frame


class DiesMidChunk(malbox.Plugin):
    """Kills its process while a result of 100 MiB is on its way."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Push a result whole, and one that stays a part."""
        ctx.results().push(malbox.PluginResult.json("whole", {"ok": True}))
        send, sent = TaskChannel.send, 0

        def send_and_die(channel: TaskChannel, frame: Frame) -> None:
            nonlocal sent
            send(channel, frame)
            sent += 1
            if sent == 50:
                os.kill(os.getpid(), signal.SIGKILL)

        TaskChannel.send = send_and_die
        ctx.results().push_bytes("part", bytes(100 << 20))


if __name__ == "__main__":
    malbox.run(DiesMidChunk())
