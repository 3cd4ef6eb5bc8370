"""Where a handler puts its results."""

import mmap
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from plugin_runtime.errors import ResultRefused
from plugin_runtime.results import PluginResult, check_json_bytes
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import Frame, check_result_name, file_ref_frame, result_frames
from plugin_runtime.wire.messages import Buffer, DataFormat
from plugin_runtime.wire.names import CHUNK_SIZE

__all__ = ["ResultSink"]


class Outlet(Protocol):
    """A task's way to the supervisor; see `TaskChannel`."""

    @property
    def task_id(self) -> int:
        """The task."""

    def check(self) -> None:
        """Return if the task may go on."""

    def send(self, frame: Frame) -> None:
        """Send a frame that stands by itself."""

    def send_result(self, name: str, frames: Iterable[Frame]) -> None:
        """Send the frames of one result."""

    def wait_until_taken(self) -> None:
        """Wait until everything that was sent was taken."""


class ForSubscribers(Protocol):
    """Publishes results for the plugins that subscribe."""

    def publish(self, task_id: int, name: str, data: Buffer, data_format: DataFormat) -> None:
        """Publish a result."""


class ResultSink:
    """Takes the results of one task and sends each on its way at once.

    What is pushed goes to the plugins that subscribe, if any do, and to the supervisor. A push returns when the result
    has left this process, and waits while the supervisor has no room for it. Every method raises `TaskCancelled` where
    the task was cancelled, `ResultRefused` where the result cannot travel, and `RuntimeError` after the handler
    returned. Threads of the handler may push too; results are sent one by one.
    """

    __slots__ = ("_channel", "_file_ref_threshold", "_subscribers", "_taken", "_validity")

    def __init__(
        self,
        channel: Outlet,
        validity: Validity,
        *,
        file_ref_threshold: int | None,
        taken: Callable[[str | Path], None] | None = None,
        subscribers: ForSubscribers | None = None,
    ) -> None:
        self._channel = channel
        self._taken = taken
        self._subscribers = subscribers
        self._validity = validity
        self._file_ref_threshold = file_ref_threshold

    def push(self, result: PluginResult) -> None:
        """Send a result. The same object can be pushed any number of times."""
        self._validity.check()
        if not isinstance(result, PluginResult):
            raise TypeError(
                f"push takes a PluginResult, not {type(result).__name__}: make one with PluginResult.json(...)"
            )
        if result.path is not None:
            self.push_file(result.name, result.path)
        else:
            self._send(result.name, result.data, DataFormat.JSON if result.kind == "json" else DataFormat.BYTES)

    def push_json(self, name: str, data: bytes) -> None:
        """Send a result that is JSON already, in UTF-8."""
        self._validity.check()
        check_json_bytes(name, data)
        self._send(name, data, DataFormat.JSON)

    def push_bytes(self, name: str, data: Buffer) -> None:
        """Send bytes. They are copied before this returns."""
        self._validity.check()
        try:
            view = memoryview(data)
        except TypeError as error:
            raise ResultRefused(f"result {name!r} takes bytes, not {type(data).__name__}; encode it first") from error
        # What is not bytes one after the other is made so; what has none cannot be cast.
        self._send(name, view.cast("B") if view.c_contiguous and view.nbytes else bytes(view), DataFormat.BYTES)

    def push_file(self, name: str, path: str | Path) -> None:
        """Send a file's content. The file may be changed or deleted once this returned.

        A large file is handed to the supervisor by its path, and this waits until the supervisor has stored it; a
        small one, and any under a daemon that drops files, goes as bytes. It is not collected again.
        """
        self._validity.check()
        self._push_file(name, path)
        if self._taken is not None:
            self._taken(path)

    def collect_file(self, name: str, path: str) -> None:
        """Send a file that the task has left, and that was seen to be no symbolic link; for the runtime.

        Raises:
            OSError: It is not there any more, or not what it was.
        """
        if os.path.realpath(path) != path:
            raise OSError("it has become a symbolic link")
        try:
            self._push_file(name, path)
        except ResultRefused as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise OSError(str(error)) from error

    def _push_file(self, name: str, path: str | Path) -> None:
        check_result_name(name)
        try:
            # A named pipe would keep an open without O_NONBLOCK waiting for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise _unreadable(name, path, error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ResultRefused(f"result {name!r}: {path} is not a regular file")
            if self._file_ref_threshold is not None and status.st_size > self._file_ref_threshold:
                if self._subscribers is not None:
                    self._publish(name, memoryview(_mapped(name, path, descriptor)), DataFormat.BYTES)
                self._channel.send(file_ref_frame(self._channel.task_id, name, os.path.realpath(path)))
                self._channel.wait_until_taken()
            elif status.st_size > CHUNK_SIZE:
                # It is not closed by hand: an error that passes may hold views of it until it was dealt with.
                self._send(name, memoryview(_mapped(name, path, descriptor)), DataFormat.BYTES)
            else:
                self._send(name, _read(name, path, descriptor), DataFormat.BYTES)
        finally:
            os.close(descriptor)

    def push_all(self, results: Iterable[PluginResult]) -> None:
        """Send several results, in order."""
        for result in results:
            self.push(result)

    def _send(self, name: str, data: Buffer, data_format: DataFormat) -> None:
        if self._subscribers is not None:
            self._publish(name, data, data_format)
        self._channel.send_result(name, result_frames(self._channel.task_id, name, data, data_format))

    def _publish(self, name: str, data: Buffer, data_format: DataFormat) -> None:
        if self._subscribers is not None:
            self._channel.check()
            # Before the supervisor gets it, which writes it to disk: nobody has to wait for that.
            self._subscribers.publish(self._channel.task_id, name, data, data_format)


def _mapped(name: str, path: str | Path, descriptor: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise _unreadable(name, path, error) from error


def _read(name: str, path: str | Path, descriptor: int) -> bytes:
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    except OSError as error:
        raise _unreadable(name, path, error) from error


def _unreadable(name: str, path: str | Path, error: OSError | ValueError) -> ResultRefused:
    reason = error.strerror if isinstance(error, OSError) else None
    return ResultRefused(f"result {name!r}: cannot read {path}: {reason or error}")
