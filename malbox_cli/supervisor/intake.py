"""Decides what becomes of a running task's responses: progress, warnings and results, in the order they came."""

import hashlib
from dataclasses import dataclass

from malbox_cli.control.json_text import on_one_line, parse_json
from malbox_cli.control.records import Outcome, Progress, Record, Result, TaskWarning
from malbox_cli.store.entries import Noted, ResultKept
from malbox_cli.supervisor.actions import Action, Emit, Grant, StoreFile, StorePiece, Write
from malbox_cli.supervisor.events import ResultNotStored, ResultStored
from malbox_cli.supervisor.tasks import Announcement, Attempt, Task
from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.codec import decode_error, decode_file_ref, decode_progress
from plugin_runtime.wire.messages import DataFormat, Piece, ResponseKind

__all__ = ["INLINE_JSON_BYTES", "Intake", "TaskEnd"]

INLINE_JSON_BYTES = 64 * 1024
"""Up to this size a JSON result is handed on in the record itself; a larger one, and any other, is stored."""

MAX_HELD = 64
"""How many results and warnings of a task may wait behind a result on its way to disk before its plugin waits too."""

MAX_MESSAGE_BYTES = 1 << 20
"""How long a progress, an error or a path may be together where it comes in pieces."""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a plugin says that a task ended."""

    outcome: Outcome
    error: str | None = None


COMPLETED = TaskEnd(Outcome.COMPLETED)


class Intake:
    """Takes the responses of tasks. Every method appends what is to be done to `out`.

    What is stored is announced when it is on disk; what comes after it waits behind it, so that a task's results and
    warnings are announced in the order in which they came, and each is in the ledger before. Progress does not wait,
    and is not kept. The tasks that are handed in have an attempt that goes on.
    """

    def __init__(self, out: list[Action]) -> None:
        self._out = out

    def take(self, task: Task, piece: Piece) -> TaskEnd | None:
        """Take one frame of a running task; return how the plugin ended the task with it, or None.

        Raises:
            ProtocolError: The frame makes no sense.
        """
        match piece.kind:
            case ResponseKind.RESULT:
                self._take_result(task, piece)
                return COMPLETED if piece.is_final else None
            case ResponseKind.READY:
                # It says nothing that PluginStarted does not, and may stand between the pieces of something else.
                waits_for_copy, end = False, None
            case _:
                waits_for_copy, end = self._take_message(task, piece)
        if end is None and piece.is_final:
            end = COMPLETED
        if end is None and not waits_for_copy:
            self._grant(task)
        return end

    def stored(self, task: Task, event: ResultStored) -> None:
        """Announce a result that is on disk."""
        is_json = event.format == "json" and event.json_is_valid
        if event.format == "json" and not is_json:
            self._emit(task, (_is_no_json(task, event.name), None))
        attempt = _attempt_of(task)
        number = attempt.held[0]
        assert isinstance(number, int), "the disk answers in the order in which it was asked"
        format_ = "bytes" if event.format == "json" and not is_json else event.format
        record = Result(
            task.id,
            event.name,
            format_,
            event.size,
            event.sha256,
            path=event.path,
            number=number,
            attempt=task.attempts,
        )
        attempt.results += 1
        self._settle(task, attempt, (record, event.data))

    def not_stored(self, task: Task, event: ResultNotStored) -> None:
        """Take note of a result that is lost: its task cannot end well."""
        attempt = _attempt_of(task)
        lost = f"result {event.name!r} could not be stored: {event.error}"
        attempt.lost.append(lost)
        self._settle(task, attempt, (TaskWarning(task.id, lost), None))

    def _take_result(self, task: Task, piece: Piece) -> None:
        if piece.is_final and not piece.name and not piece.total_size:
            return  # the end of a task that went well
        whole = piece.is_first and piece.is_last
        if whole and piece.format is DataFormat.JSON and piece.total_size <= INLINE_JSON_BYTES:
            self._take_inline(task, piece)
            return
        received = piece.offset + len(piece.data)
        _attempt_of(task).unfinished = None if piece.is_last else (piece.name, received, piece.total_size)
        if piece.is_last:
            self._hold_place(task)
        self._out.append(StorePiece(task.id, piece.name, piece.format, piece.data, piece.is_first, piece.is_last))

    def _take_inline(self, task: Task, piece: Piece) -> None:
        attempt = _attempt_of(task)
        data = bytes(piece.data)
        try:
            parse_json(data)
        except ValueError:
            # A record's data is JSON; what only says so is kept as it is, as bytes.
            self._announce(task, (_is_no_json(task, piece.name), None))
            self._hold_place(task)
            self._out.append(StorePiece(task.id, piece.name, DataFormat.BYTES, data, is_first=True, is_last=True))
            return
        attempt.results += 1
        attempt.numbered += 1
        record = Result(
            task.id,
            piece.name,
            "json",
            len(data),
            hashlib.sha256(data).hexdigest(),
            data=on_one_line(data.decode()),
            number=attempt.numbered,
            attempt=task.attempts,
        )
        self._announce(task, (record, data))
        if not piece.is_final:
            self._grant(task)

    def _take_message(self, task: Task, piece: Piece) -> tuple[bool, TaskEnd | None]:
        """Take a progress, an error or a path; return whether its credit waits for a copy, and how the task ended."""
        attempt = _attempt_of(task)
        if piece.is_first:
            attempt.message.clear()  # an error may come in the middle of anything
        attempt.message += piece.data
        if len(attempt.message) > MAX_MESSAGE_BYTES:
            raise ProtocolError(
                f"the text of a response of kind {piece.kind.name} has more than {MAX_MESSAGE_BYTES} bytes"
            )
        if not piece.is_last:
            return False, None
        message, attempt.message = bytes(attempt.message), bytearray()
        match piece.kind:
            case ResponseKind.ERROR:
                return False, TaskEnd(Outcome.FAILED, decode_error(message))
            case ResponseKind.FILE_REF:
                path = decode_file_ref(message)
                self._hold_place(task)
                self._out.append(StoreFile(task.id, piece.name, path))
                return True, None
            case _:
                update = decode_progress(message)
                if update.warning:
                    self._announce(task, (TaskWarning(task.id, update.warning), None))
                else:
                    self._tell(task, Progress(task.id, update.progress, update.message))
                return False, None

    def _announce(self, task: Task, announcement: Announcement) -> None:
        """Hand on a result or a warning, behind the results before it that are still on their way to disk."""
        attempt = _attempt_of(task)
        if attempt.held:
            attempt.held.append(announcement)
        else:
            self._emit(task, announcement)

    def _grant(self, task: Task) -> None:
        """Give the plugin its credit back; where too much waits for the disk, once less does."""
        attempt = _attempt_of(task)
        if len(attempt.held) > MAX_HELD:
            attempt.withheld += 1
        else:
            self._out.append(Grant(task.id))

    def _hold_place(self, task: Task) -> None:
        attempt = _attempt_of(task)
        attempt.storing += 1
        attempt.numbered += 1
        attempt.held.append(attempt.numbered)

    def _settle(self, task: Task, attempt: Attempt, announcement: Announcement) -> None:
        """Hand on what became of the oldest result on its way to disk, and what waited behind it."""
        attempt.storing -= 1
        attempt.held.popleft()
        self._emit(task, announcement)
        while attempt.held and not isinstance(waiting := attempt.held[0], int):
            attempt.held.popleft()
            self._emit(task, waiting)
        while attempt.withheld and len(attempt.held) <= MAX_HELD:
            attempt.withheld -= 1
            self._out.append(Grant(task.id))

    def _emit(self, task: Task, announcement: Announcement) -> None:
        record, data = announcement
        if isinstance(record, TaskWarning):
            self._out.append(Write(Noted(task.id, "warning", record.message)))
        else:
            self._out.append(Write(_kept(record, data)))
        self._tell(task, record)

    def _tell(self, task: Task, record: Record) -> None:
        for client in task.listeners:
            self._out.append(Emit(client, record))


def _attempt_of(task: Task) -> Attempt:
    assert task.attempt is not None, f"nobody works on task {task.id}"
    return task.attempt


def _kept(record: Result, data: bytes | None) -> ResultKept:
    return ResultKept(
        record.task,
        record.attempt,
        record.number,
        record.name,
        record.format,
        record.size,
        record.sha256,
        data,
        record.path,
    )


def _is_no_json(task: Task, name: str) -> TaskWarning:
    return TaskWarning(task.id, f"result {name!r} says it is JSON and is not; it is kept as bytes")
