"""The operator's terminal, written to on a thread of its own: one that stands still must not stop the reactor."""

import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from typing import Literal, TextIO

from malbox_cli.output.log_text import LogText, log_json
from malbox_cli.store.log_format import LogEntry, unpacked
from malbox_cli.store.log_queue import LogQueue

__all__ = ["Console", "LogFormat"]

LogFormat = Literal["text", "json"]

MAX_BYTES = 4 << 20
MAX_LINES = 100_000
FLUSH_SECONDS = 1.0


class Console:
    """Writes what is logged to standard error: for each line its time, who and the text, or a JSON object.

    Lines that the terminal does not take wait; when too many wait, further ones are dropped, and their
    count is shown in their place.

    Args:
        quiet: Leave out what is only information.
        stream: Where to write; standard error by default.
        log_format: Text for a person, or JSON for a program.
        raw: Show what plugins print as it is, terminal escapes included; of text only.
        plugins: Those that are known, so that each has a colour of its own.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        stream: TextIO | None = None,
        log_format: LogFormat = "text",
        raw: bool = False,
        plugins: Iterable[str] = (),
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._fd = _descriptor_of(self._stream)
        self._quiet = quiet
        self._render: Callable[[LogEntry], bytes] = log_json
        if log_format == "text":
            colour = self._stream.isatty() and "NO_COLOR" not in os.environ
            encoding = self._stream.encoding or "utf-8"
            self._render = LogText(colour=colour, encoding=encoding, raw=raw, plugins=plugins).render
        self._queue = LogQueue(MAX_BYTES, MAX_LINES, "the terminal did not take them")
        self._thread = threading.Thread(target=self._run, name="malbox-console", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry) -> None:
        """Show an entry, later. Does not block."""
        if not (self._quiet and entry.level == "info"):
            self._queue.put(entry)

    def close(self) -> None:
        """Show what waits, as long as the terminal takes it within a second."""
        self._queue.close()
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        while entries := self._queue.take():
            for entry in chain.from_iterable(map(unpacked, entries)):
                with suppress(OSError, ValueError):  # one that was closed; the supervisor hears of that by a signal
                    self._write(self._render(entry))

    def _write(self, lines: bytes) -> None:
        if self._fd is None:
            for line in lines.decode(self._stream.encoding or "utf-8", "replace").removesuffix("\n").split("\n"):
                self._stream.write(f"{line}\n")
            self._stream.flush()
            return
        # Past the stream and its lock: a thread that is stuck in it would make the interpreter abort at its end.
        data = memoryview(lines)
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another program that has the same terminal set it so
                waiting = select.poll()
                waiting.register(self._fd, select.POLLOUT)
                waiting.poll()


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None  # a stream in memory
