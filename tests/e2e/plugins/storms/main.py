"""Works on some tasks, and dies of others, in the way that they ask for."""

import os
import signal
import subprocess
import sys
import time
from typing import NoReturn

import plugin_runtime as malbox

ESCAPED = "import signal; print('still here', flush=True); signal.pause()"
FORKS = """
import os, signal
for number in range(10):
    if os.fork() == 0:
        os.setsid()
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
                break
        os.write(1, b"+")
        os.close(1)
        signal.pause()
"""
"""Fifty processes: ten, and four below each."""


class Storms(malbox.Plugin):
    """Writes down what it has finished."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Leave something running, die, or push results of the sizes that are asked for, and then say so in a file."""
        config = ctx.task().config
        for what in filter(None, config.get("leaves", "").split(",")):
            leave(what)
        if "dies" in config:
            die(config["dies"])
        ctx.progress(0.5, "working")
        time.sleep(float(config.get("seconds", "0")))
        for number, size in enumerate(filter(None, config.get("sizes", "").split(","))):
            ctx.results().push_bytes(f"bytes-{number}", bytes([number]) * int(size))
        ctx.results().push_json("word", b'"%s"' % config["word"].encode())
        append(config["finished"], f"{config['word']}\n")


def leave(what: str) -> None:
    """Start what outlives this process, in sessions of its own, and return when it is there."""
    if what == "forks":
        done = subprocess.run([sys.executable, "-S", "-c", FORKS], stdout=subprocess.PIPE, check=True)
        assert len(done.stdout) == 50, done
    else:
        subprocess.Popen([sys.executable, "-S", "-c", ESCAPED], start_new_session=True)  # it holds our output


def die(how: str) -> NoReturn:
    """End this process, at once and whatever else it is doing."""
    if how.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[how])
        signal.pause()
    os._exit(int(how))


def append(path: str, text: str) -> None:
    """Append to a file, in one piece, beside other processes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    malbox.run(Storms())
