"""Makes results, progress and warnings of a task's frames, by the real codec."""

from pathlib import Path
from typing import Literal

from plugin_runtime.ports.base import ReceivedFrame, ResponseStream
from plugin_runtime.testing.outcome import Pushed, Step, TaskRun
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import decode_error, decode_file_ref, decode_progress
from plugin_runtime.wire.messages import DataFormat, EventKind, Piece, ResponseKind

__all__ = ["Collector"]

_OUTCOMES: dict[EventKind, Literal["completed", "failed", "canceled"]] = {
    EventKind.TASK_COMPLETED: "completed",
    EventKind.TASK_FAILED: "failed",
    EventKind.TASK_CANCELED: "canceled",
}


class Collector:
    """The supervisor's side of one task.

    Args:
        run: What to fill.
        stream: Where the task's frames come from.
    """

    def __init__(self, run: TaskRun, stream: ResponseStream) -> None:
        self.run = run
        self._stream = stream
        self._reassembler = Reassembler(run.task_id)
        self._data = bytearray()
        self._owed = 0

    @property
    def has_ended(self) -> bool:
        """Whether the frame that ends the task and the event that says how have come."""
        return self._reassembler.finished and self.run.outcome != "running"

    def receive(self, *, grant: bool) -> None:
        """Take every frame that has come, and give the credits for them and for those before, or keep them."""
        while (frame := self._stream.receive()) is not None:
            self._take(frame)
            self._owed += 1
            if grant:
                self._grant()
        if grant:
            self._grant()

    def take_end(self, kind: EventKind) -> bool:
        """Take the event that says how the task ended; return whether it is one."""
        if self.run.outcome != "running" or kind not in _OUTCOMES:
            return False
        self.run.outcome = _OUTCOMES[kind]
        return True

    def close(self) -> None:
        """Let go of the request."""
        self._stream.close()

    def _grant(self) -> None:
        while self._owed:
            self._stream.grant()
            self._owed -= 1

    def _take(self, frame: ReceivedFrame) -> None:
        piece = self._reassembler.feed(frame.header, frame.payload)
        match piece.kind:
            case ResponseKind.ERROR:
                self.run.error = decode_error(piece.data)
            case ResponseKind.PROGRESS:
                update = decode_progress(piece.data)
                if update.warning:
                    self.run.warnings.append(update.warning)
                else:
                    self.run.progress.append(Step(update.progress, update.message))
            case ResponseKind.FILE_REF:
                path = Path(decode_file_ref(piece.data))
                # Now: its author may delete it once the credit is back.
                self.run.results.append(Pushed(piece.name, "file", path.read_bytes(), path))
            case _ if not piece.is_final:
                self._take_data(piece)

    def _take_data(self, piece: Piece) -> None:
        self._data += piece.data
        if piece.is_last:
            form: Literal["json", "bytes"] = "json" if piece.format is DataFormat.JSON else "bytes"
            self.run.results.append(Pushed(piece.name, form, bytes(self._data)))
            self._data.clear()
