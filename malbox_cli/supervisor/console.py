"""The operator's terminal, written to on a thread of its own: one that stands still must not stop the reactor."""

import io
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

from malbox_cli.supervisor.log_lines import escaped

__all__ = ["Console"]

MAX_WAITING = 2000
COLOURS = (36, 32, 33, 35, 34, 96, 92, 95)
LEVELS = {"warning": 33, "error": 31}
FLUSH_SECONDS = 1.0


class Console:
    """Writes lines to standard error: time, who, text.

    Lines that the terminal does not take wait; when too many wait, further ones are dropped, and their
    count is shown in their place.

    Args:
        quiet: Leave out what is only information.
        stream: Where to write; standard error by default.
    """

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._fd = _descriptor_of(self._stream)
        self._quiet = quiet
        self._colour = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._colours: dict[str, int] = {}
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="malbox-console", daemon=True)
        self._thread.start()

    def say(self, level: str, text: str) -> None:
        """Show something that the supervisor has to say; `level` is info, warning or error."""
        if self._quiet and level == "info":
            return
        code = LEVELS.get(level)
        body = escaped(text)
        if code and self._colour:
            body = f"\x1b[{code}m{body}\x1b[0m"
        self._put("malbox", body, 1)

    def line(self, plugin_id: str, text: str) -> None:
        """Show a line that a plugin printed, which has to be printable."""
        colour = self._colours.setdefault(plugin_id, COLOURS[len(self._colours) % len(COLOURS)])
        self._put(plugin_id, text, colour)

    def close(self) -> None:
        """Show what waits, as long as the terminal takes it within a second."""
        give_up_at = time.monotonic() + FLUSH_SECONDS
        with suppress(queue.Full):
            if self._dropped:
                self._waiting.put(self._drop_notice(), timeout=FLUSH_SECONDS)
            self._waiting.put(None, timeout=max(0.0, give_up_at - time.monotonic()))
        self._thread.join(max(0.0, give_up_at - time.monotonic()))

    def _put(self, who: str, text: str, colour: int) -> None:
        name = f"\x1b[{colour}m{who}\x1b[0m" if self._colour else who
        line = f"{time.strftime('%H:%M:%S')} {name} | {text}\n"
        try:
            if self._dropped:
                self._waiting.put_nowait(self._drop_notice())
                self._dropped = 0
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _drop_notice(self) -> str:
        return f"... {self._dropped} lines were dropped: the terminal did not take them\n"

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            with suppress(OSError, ValueError):  # a terminal that was closed; the supervisor hears of that by a signal
                self._write(line)

    def _write(self, line: str) -> None:
        if self._fd is None:
            self._stream.write(line)
            self._stream.flush()
            return
        # Past the stream and its lock: a thread that is stuck in it would make the interpreter abort at its end.
        data = memoryview(line.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        while data:
            data = data[os.write(self._fd, data) :]


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None  # a stream in memory
