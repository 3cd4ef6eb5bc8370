"""Decides what becomes of a running task's responses: progress, warnings and results, in the order they came."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from malbox_cli.control.json_text import on_one_line, parse_json
from malbox_cli.control.records import Outcome, Progress, Record, Result, TaskWarning
from malbox_cli.supervisor.actions import Action, Emit, Grant, StoreFile, StorePiece
from malbox_cli.supervisor.events import ResultNotStored, ResultStored
from malbox_cli.supervisor.tasks import Task
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
    warnings are announced in the order in which they came. Progress does not wait.
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
        format_: Literal["json", "bytes", "file"] = event.format
        if not event.json_is_valid:
            self._emit(task, _is_no_json(task, event.name))
            format_ = "bytes"
        self._settle(task, Result(task.id, event.name, format_, event.size, event.sha256, data=None, path=event.path))

    def not_stored(self, task: Task, event: ResultNotStored) -> None:
        """Take note of a result that is lost: its task cannot end well."""
        lost = f"result {event.name!r} could not be stored: {event.error}"
        task.lost.append(lost)
        self._settle(task, TaskWarning(task.id, lost))

    def _take_result(self, task: Task, piece: Piece) -> None:
        if piece.is_final and not piece.name and not piece.total_size:
            return  # the end of a task that went well
        whole = piece.is_first and piece.is_last
        if whole and piece.format is DataFormat.JSON and piece.total_size <= INLINE_JSON_BYTES:
            self._take_inline(task, piece)
            return
        received = piece.offset + len(piece.data)
        task.unfinished = None if piece.is_last else (piece.name, received, piece.total_size)
        if piece.is_last:
            self._hold_place(task)
        self._out.append(StorePiece(task.id, piece.name, piece.format, piece.data, piece.is_first, piece.is_last))

    def _take_inline(self, task: Task, piece: Piece) -> None:
        data = bytes(piece.data)
        try:
            parse_json(data)
        except ValueError:
            # A record's data is JSON; what only says so is kept as it is, as bytes.
            self._announce(task, _is_no_json(task, piece.name))
            self._hold_place(task)
            self._out.append(StorePiece(task.id, piece.name, DataFormat.BYTES, data, is_first=True, is_last=True))
            return
        task.results += 1
        digest = hashlib.sha256(data).hexdigest()
        self._announce(task, Result(task.id, piece.name, "json", len(data), digest, data=on_one_line(data.decode())))
        if not piece.is_final:
            self._grant(task)

    def _take_message(self, task: Task, piece: Piece) -> tuple[bool, TaskEnd | None]:
        """Take a progress, an error or a path; return whether its credit waits for a copy, and how the task ended."""
        if piece.is_first:
            task.message.clear()  # an error may come in the middle of anything
        task.message += piece.data
        if len(task.message) > MAX_MESSAGE_BYTES:
            raise ProtocolError(
                f"the text of a response of kind {piece.kind.name} has more than {MAX_MESSAGE_BYTES} bytes"
            )
        if not piece.is_last:
            return False, None
        message, task.message = bytes(task.message), bytearray()
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
                    self._announce(task, TaskWarning(task.id, update.warning))
                else:
                    self._emit(task, Progress(task.id, update.progress, update.message))
                return False, None

    def _announce(self, task: Task, record: Result | TaskWarning) -> None:
        """Hand on a result or a warning, behind the results before it that are still on their way to disk."""
        if task.held:
            task.held.append(record)
        else:
            self._emit(task, record)

    def _grant(self, task: Task) -> None:
        """Give the plugin its credit back; where too much waits for the disk, once less does."""
        if len(task.held) > MAX_HELD:
            task.withheld += 1
        else:
            self._out.append(Grant(task.id))

    def _hold_place(self, task: Task) -> None:
        task.storing += 1
        task.held.append(None)

    def _settle(self, task: Task, record: Result | TaskWarning) -> None:
        """Hand on what became of the oldest result on its way to disk, and what waited behind it."""
        task.storing -= 1
        task.held.popleft()
        task.results += isinstance(record, Result)
        self._emit(task, record)
        while task.held and (waiting := task.held[0]) is not None:
            task.held.popleft()
            self._emit(task, waiting)
        while task.withheld and len(task.held) <= MAX_HELD:
            task.withheld -= 1
            self._out.append(Grant(task.id))

    def _emit(self, task: Task, record: Record) -> None:
        self._out.append(Emit(task.client, record))


def _is_no_json(task: Task, name: str) -> TaskWarning:
    return TaskWarning(task.id, f"result {name!r} says it is JSON and is not; it is kept as bytes")
