"""The operator's terminal, written to on a thread of its own: one that stands still must not stop the reactor."""

import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import TextIO

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
        body = f"\x1b[{code}m{text}\x1b[0m" if code and self._colour else text
        self._put("malbox", body, 1)

    def line(self, plugin_id: str, text: str) -> None:
        """Show a line that a plugin printed."""
        colour = self._colours.setdefault(plugin_id, COLOURS[len(self._colours) % len(COLOURS)])
        self._put(plugin_id, text, colour)

    def close(self) -> None:
        """Show what waits, as long as the terminal takes it within a second."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=FLUSH_SECONDS)
        self._thread.join(FLUSH_SECONDS)

    def _put(self, who: str, text: str, colour: int) -> None:
        name = f"\x1b[{colour}m{who}\x1b[0m" if self._colour else who
        line = f"{time.strftime('%H:%M:%S')} {name} | {text}\n"
        try:
            if self._dropped:
                self._waiting.put_nowait(f"... {self._dropped} lines were dropped: the terminal did not take them\n")
                self._dropped = 0
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                continue  # a terminal that was closed; the supervisor hears of that by a signal
