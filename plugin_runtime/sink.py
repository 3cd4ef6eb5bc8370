"""Where a handler puts its results."""

import mmap
from collections.abc import Iterable
from pathlib import Path

from plugin_runtime.channel import TaskChannel
from plugin_runtime.errors import ResultRefused
from plugin_runtime.results import PluginResult, check_json_bytes
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import check_result_name, file_ref_frame, result_frames
from plugin_runtime.wire.messages import Buffer, DataFormat

__all__ = ["ResultSink"]


class ResultSink:
    """Takes the results of one task and sends each on its way at once.

    A push returns when the result has left this process, and waits while the supervisor has no room for it. Every
    method raises `TaskCancelled` where the task was cancelled, `ResultRefused` where the result cannot travel, and
    `RuntimeError` after the handler returned.
    """

    def __init__(self, channel: TaskChannel, validity: Validity, *, file_ref_threshold: int | None) -> None:
        self._channel = channel
        self._validity = validity
        self._file_ref_threshold = file_ref_threshold

    def push(self, result: PluginResult) -> None:
        """Send a result. The same object can be pushed any number of times."""
        if not isinstance(result, PluginResult):
            raise TypeError(
                f"push takes a PluginResult, not {type(result).__name__}: make one with PluginResult.json(...)"
            )
        if result.path is not None:
            self.push_file(result.name, result.path)
        else:
            data_format = DataFormat.JSON if result.kind == "json" else DataFormat.BYTES
            self._send(result.name, result.data, data_format)

    def push_json(self, name: str, data: bytes) -> None:
        """Send a result that is JSON already, in UTF-8."""
        check_json_bytes(name, data)
        self._send(name, data, DataFormat.JSON)

    def push_bytes(self, name: str, data: Buffer) -> None:
        """Send bytes. They are copied before this returns."""
        self._send(name, memoryview(data).cast("B"), DataFormat.BYTES)

    def push_file(self, name: str, path: str | Path) -> None:
        """Send a file's content. The file may be changed or deleted once this returned.

        A large file is handed to the supervisor by its path, and this waits until the supervisor has stored it; a
        small one, and any under a daemon that drops files, goes as bytes.
        """
        self._validity.check()
        check_result_name(name)
        file = Path(path)
        try:
            with file.open("rb") as stream:
                size = stream.seek(0, 2)
                if not file.is_file():
                    raise ResultRefused(f"result {name!r}: {file} is not a regular file")
                if self._file_ref_threshold is not None and size > self._file_ref_threshold:
                    self._channel.send(file_ref_frame(self._channel.task_id, name, str(file.resolve())))
                    self._channel.wait_until_taken()
                elif not size:
                    self._send(name, b"", DataFormat.BYTES)
                else:
                    with mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) as content:
                        self._send_mapped(name, content)
        except OSError as error:
            raise ResultRefused(f"result {name!r}: cannot read {file}: {error.strerror or error}") from error

    def push_all(self, results: Iterable[PluginResult]) -> None:
        """Send several results, in order."""
        for result in results:
            self.push(result)

    def _send_mapped(self, name: str, content: mmap.mmap) -> None:
        # The view has to be let go of before the mapping can be closed, whatever happens on the way.
        with memoryview(content) as view:
            self._send(name, view, DataFormat.BYTES)

    def _send(self, name: str, data: Buffer, data_format: DataFormat) -> None:
        self._validity.check()
        sent_any = False
        try:
            for frame in result_frames(self._channel.task_id, name, data, data_format):
                self._channel.send(frame)
                sent_any = True
        except BaseException as error:
            if sent_any:
                self._channel.cut(name, error)
            raise
