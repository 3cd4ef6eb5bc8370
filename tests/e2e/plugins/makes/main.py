"""Pushes results that can be told from each other by what is in them; slow, wrong or deaf where it is asked to be."""

import ctypes
import hashlib
import json
import time
from pathlib import Path

import plugin_runtime as malbox


class Makes(malbox.Plugin):
    """Does each thing that the task's configuration asks for, in this order."""

    def on_task(self, ctx: malbox.Context) -> None:
        """Say that it began, push, wait, raise."""
        config = ctx.task().config
        word = config.get("word", "")
        if "began" in config and "deaf" not in config:
            note(config["began"], word)
        if "after" in config:
            wait_for(ctx, config["after"])
        for number in range(int(config.get("json", "0"))):
            ctx.results().push_json(f"json-{number}", json.dumps({"word": word, "number": number}).encode())
        for number, size in enumerate(filter(None, config.get("sizes", "").split(","))):
            ctx.results().push_bytes(f"bytes-{number}", content(word, number, int(size)))
        if "reads" in config:
            ctx.results().push_bytes("sample", ctx.task().sample_bytes())
            ctx.results().push_json("path", json.dumps(str(ctx.task().sample_path)).encode())
        if "deaf" in config:
            note(config["began"], word)  # a cancel after this finds nothing any more that would notice it
            ctypes.PyDLL(None).sleep(1000)  # with Python's lock held: no other thread of this process runs any more
        if "until" in config:
            wait_for(ctx, config["until"])
        time.sleep(float(config.get("seconds", "0")))
        if "raises" in config:
            raise ValueError(config["raises"])


def note(file: str, word: str) -> None:
    """Write down that the task has begun."""
    with Path(file).open("a") as stream:
        stream.write(f"{word}\n")


def wait_for(ctx: malbox.Context, file: str) -> None:
    """Return once a file is there."""
    while not Path(file).exists():
        ctx.raise_if_cancelled()
        time.sleep(0.005)


def content(word: str, number: int, size: int) -> bytes:
    """Return bytes that no other task and no other result has."""
    return hashlib.shake_256(f"{word} {number}".encode()).digest(size)


if __name__ == "__main__":
    malbox.run(Makes())
