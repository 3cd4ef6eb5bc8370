"""A result of another plugin, while a handler looks at it."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

from plugin_runtime.errors import ProtocolError
from plugin_runtime.sink import ForSubscribers, ResultSink
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.messages import Buffer

__all__ = ["IN_MEMORY_BYTES", "Onward", "ResultPayload"]

IN_MEMORY_BYTES = 64 << 20
"""Bytes up to which a result of another plugin is kept in memory; a larger one goes to a file that has no name."""


class ResultPayload:
    """The data of one result: filled on the loop's thread, then read on that of a handler, then closed.

    Args:
        size: The bytes that it is going to have.
        is_path: Whether the data is the path of a file that has the result, as other runtimes may publish it.

    Attributes:
        in_memory: Bytes of memory that it takes.
        is_closed: Whether it was let go of.
    """

    def __init__(self, size: int, *, is_path: bool) -> None:
        self._is_path = is_path
        self._memory: io.BytesIO | None = io.BytesIO() if size <= IN_MEMORY_BYTES else None
        self._descriptor = -1
        self.in_memory = 0
        self.is_closed = False

    def add(self, data: Buffer) -> None:
        """Append data.

        Raises:
            OSError: The file for a large result cannot be written.
        """
        if self._memory is not None:
            self.in_memory += self._memory.write(data)
            return
        if self._descriptor < 0:
            import tempfile  # which takes its time to load, and hardly any plugin needs it

            self._descriptor = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        _write_all(self._descriptor, data)

    def data(self) -> bytes:
        """Return all of it; what was put together in memory is not copied again.

        Raises:
            OSError: Its file cannot be read.
        """
        if self._is_path:
            return self.path().read_bytes()
        return self._memory.getvalue() if self._memory is not None else Path(self._shown()).read_bytes()

    def path(self) -> Path:
        """Return a file with the result in it.

        Raises:
            OSError: It cannot be written.
            ProtocolError: The publisher sent what is no path.
        """
        if self._is_path:
            text = os.fsdecode(self._memory.getvalue()) if self._memory is not None else ""
            if not text.startswith("/") or "\0" in text:
                raise ProtocolError("The peer published the path of a file, and it is not an absolute one.")
            return Path(text)
        if self._descriptor < 0:
            assert self._memory is not None
            self._descriptor = os.memfd_create("malbox-result", os.MFD_CLOEXEC)
            _write_all(self._descriptor, self._memory.getvalue())
        return Path(self._shown())

    def close(self) -> None:
        """Let go of it, and of its file."""
        self.is_closed = True
        self._memory = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _shown(self) -> str:
        # By the process's number and not as /proc/self: a program that the handler starts can read it, too.
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"


class NoTask:
    """Stands where a task's way to the supervisor is, for what is pushed outside of a task."""

    def __init__(self, task_id: int) -> None:
        self.task_id = task_id

    def check(self) -> None:
        """Return: nobody cancels it."""

    def send(self, frame: Frame) -> None:
        """Do nothing: it would go to the supervisor alone."""

    def send_result(self, name: str, frames: Iterable[Frame]) -> None:
        """Do nothing: it would go to the supervisor alone."""

    def wait_until_taken(self) -> None:
        """Return: nothing was sent."""


class Onward:
    """A result as `Event` shows it to a handler: readable until the handler has returned, with a way onward.

    Args:
        payload: The result.
        task_id: The task it was pushed in.
        subscribers: Who gets what is pushed on.
    """

    def __init__(self, payload: ResultPayload, task_id: int, subscribers: ForSubscribers) -> None:
        self._payload = payload
        self._validity = Validity("on_event")
        self._sink = ResultSink(NoTask(task_id), self._validity, file_ref_threshold=None, subscribers=subscribers)

    def data(self) -> bytes:
        """Return all of it."""
        self._validity.check()
        return self._payload.data()

    def path(self) -> Path:
        """Return a file that has it."""
        self._validity.check()
        return self._payload.path()

    def results(self) -> ResultSink:
        """Return where to push what was made of it."""
        self._validity.check()
        return self._sink

    def close(self) -> None:
        """Say that the handler has returned."""
        self._validity.end()
        self._payload.close()


def _write_all(descriptor: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
