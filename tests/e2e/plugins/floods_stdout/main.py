"""Prints binary rubbish, terminal escapes, a line of 10 MB and very many lines."""

import sys

import plugin_runtime as malbox


class Floods(malbox.Plugin):
    """Prints in its handler."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Print, then push a result."""
        out = sys.stdout.buffer
        out.write(bytes(range(256)) * 64 + b"\n")
        out.write(b"\x1b[2J\x1b]0;owned\x07\r\n")
        out.write(b"A" * 10_000_000 + b"\n")
        out.write(b"line\n" * 20_000)
        out.write(b"the last, without an end")
        out.flush()
        ctx.results().push(malbox.PluginResult.json("done", True))


if __name__ == "__main__":
    malbox.run(Floods())
