"""Cut a payload into frames, and check frames while they are put together again."""

from collections.abc import Iterator
from dataclasses import dataclass

from plugin_runtime.errors import ProtocolError, UnknownValue
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, IS_FINAL, TaskResponseHeader
from plugin_runtime.wire.messages import Buffer, DataFormat, Piece, ResponseKind
from plugin_runtime.wire.names import CHUNK_SIZE

__all__ = ["Reassembler", "split"]

# A lookup costs a tenth of a call of the enumeration, and every frame needs one.
_KINDS = {kind.value: kind for kind in ResponseKind}
_FORMATS = {format_.value: format_ for format_ in DataFormat}

_ERROR = ResponseKind.ERROR
_READY = ResponseKind.READY
_BYTES = DataFormat.BYTES


def split(total: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of every chunk of a payload of `total` bytes; an empty payload is one empty chunk."""
    yield 0, min(total, CHUNK_SIZE)
    for start in range(CHUNK_SIZE, total, CHUNK_SIZE):
        yield start, min(total, start + CHUNK_SIZE)


@dataclass(slots=True)
class _Transfer:
    """A payload of which the last chunk has not come. Sizes are of the data, without the name."""

    kind: ResponseKind
    format: DataFormat
    name: str
    name_len: int
    total: int
    received: int
    next_index: int


class Reassembler:
    """Checks the frames of one task against each other and says where each stands in its result.

    It keeps no data and allocates nothing by what a frame claims; `Piece.total_size` is such a claim, so neither should
    whoever takes the pieces. A frame that is refused leaves it as it was.

    Chunks may have any length, as long as their sum is what the first one said. An error may come in the middle of a
    result, because a handler can fail while it pushes one; the result stays unfinished. Nothing else may.
    """

    __slots__ = ("_abandoned", "_finished", "_open", "_task_id")

    def __init__(self, task_id: int) -> None:
        self._task_id = task_id
        self._open: _Transfer | None = None
        self._abandoned: _Transfer | None = None
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the final frame has come."""
        return self._finished

    @property
    def open_result(self) -> tuple[str, int, int] | None:
        """The unfinished result's name and the bytes of its data that came and that it has, or None."""
        transfer = self._abandoned or self._open
        if transfer is None or transfer.kind not in (ResponseKind.RESULT, ResponseKind.FILE_REF):
            return None
        return transfer.name, transfer.received, transfer.total

    def feed(self, header: TaskResponseHeader, payload: Buffer) -> Piece:
        """Return the frame as a piece of its result; the piece's data is a view of `payload` and no copy.

        A frame of kind READY passes as it is, whatever is open, unless it claims to be final. Whatever its flags say,
        the last frame of an error ends the task.

        Raises:
            UnknownValue: Kind or format is none of ours; the frame can be skipped.
            ProtocolError: The frame does not fit what came before it, or it ends the task in a way we do not know.
        """
        flags = header.flags
        number = header.kind
        kind = _KINDS.get(number)
        if kind is None:
            raise self._unknown("kind", number, flags)
        if kind is _READY and not flags & IS_FINAL:
            return Piece(header.task_id, kind, _BYTES, "", len(payload), 0, payload, True, True, False)
        if header.task_id != self._task_id:
            raise ProtocolError(f"A response of task {self._task_id} carries the id of task {header.task_id}.")
        if self._finished:
            raise ProtocolError(f"Task {self._task_id} sent a response after its final one.")
        if flags & HAS_MORE_CHUNKS and flags & IS_FINAL:
            raise ProtocolError(f"Task {self._task_id} sent a response that is final and has more chunks to come.")
        if header.chunk_index:
            return self._continue(header, kind, flags, payload)
        return self._begin(header, kind, flags, payload)

    def _begin(self, header: TaskResponseHeader, kind: ResponseKind, flags: int, payload: Buffer) -> Piece:
        before = self._open
        if before is not None and (kind is not _ERROR or before.kind is _ERROR):
            what = "ended" if flags & IS_FINAL else "began another response"
            raise ProtocolError(
                f"Task {self._task_id} {what} before its {_described(before)} was whole: "
                f"{before.received} of {before.total} bytes came."
            )
        # An error is nothing but its message: it has no name and no format to get wrong.
        format_ = _BYTES
        name = ""
        name_len = 0
        data = payload
        if kind is not _ERROR:
            format_ = self._format(header, flags)
            name_len = header.name_len
            if name_len:
                name = self._name(payload, name_len)
                data = memoryview(payload)[name_len:]
        size = len(payload)
        total = header.total_size
        if flags & HAS_MORE_CHUNKS:
            if total <= size:
                raise ProtocolError(
                    f"Task {self._task_id} cut the {_described_as(kind, name)} of {total} bytes "
                    f"and sent {size} of them in its first chunk."
                )
            if before is not None:
                self._abandoned = before
            total -= name_len
            self._open = _Transfer(kind, format_, name, name_len, total, size - name_len, 1)
            return Piece(self._task_id, kind, format_, name, total, 0, data, True, False, False)
        if total not in (0, size):
            raise ProtocolError(
                f"Task {self._task_id} sent the {_described_as(kind, name)} whole, in {size} bytes, "
                f"and claims it has {total}."
            )
        if before is not None:
            self._abandoned = before
        final = kind is _ERROR or bool(flags & IS_FINAL)
        self._finished = final
        self._open = None
        return Piece(self._task_id, kind, format_, name, size - name_len, 0, data, True, True, final)

    def _continue(self, header: TaskResponseHeader, kind: ResponseKind, flags: int, payload: Buffer) -> Piece:
        transfer = self._open
        index = header.chunk_index
        if transfer is None:
            if kind is not _ERROR:
                self._format(header, flags)  # all chunks of a result whose first one was skipped are skipped
            raise ProtocolError(f"Task {self._task_id} sent chunk {index} of a {_described_as(kind, '')} from nowhere.")
        if kind is not transfer.kind or index != transfer.next_index:
            raise ProtocolError(
                f"Task {self._task_id} sent chunk {index} of a {_described_as(kind, '')} "
                f"where chunk {transfer.next_index} of the {_described(transfer)} was due."
            )
        if header.name_len and kind is not _ERROR:
            raise ProtocolError(f"Task {self._task_id} named the {_described(transfer)} again in chunk {index}.")
        claimed = header.total_size
        total = transfer.total
        if claimed and claimed != total + transfer.name_len:
            raise ProtocolError(
                f"Task {self._task_id} changed the size of the {_described(transfer)} in chunk {index}: "
                f"{total + transfer.name_len} bytes before, {claimed} now."
            )
        offset = transfer.received
        received = offset + len(payload)
        last = not flags & HAS_MORE_CHUNKS
        if received != total if last else received >= total:
            raise ProtocolError(
                f"Task {self._task_id} sent {received} bytes of the {_described(transfer)} "
                f"up to {'its last chunk' if last else 'a chunk that is not the last'}, and it has {total}."
            )
        final = last and (kind is _ERROR or bool(flags & IS_FINAL))
        if last:
            self._open = None
            self._finished = final
        else:
            transfer.received = received
            transfer.next_index = index + 1
        return Piece(self._task_id, kind, transfer.format, transfer.name, total, offset, payload, False, last, final)

    def _format(self, header: TaskResponseHeader, flags: int) -> DataFormat:
        format_ = _FORMATS.get(header.format)
        if format_ is None:
            raise self._unknown("format", header.format, flags)
        return format_

    def _name(self, payload: Buffer, name_len: int) -> str:
        if name_len > len(payload):
            raise ProtocolError(
                f"Task {self._task_id} sent a result whose name has {name_len} bytes in a frame of {len(payload)}."
            )
        try:
            return str(payload[:name_len], "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"Task {self._task_id} sent a result whose name is not UTF-8.") from error

    def _unknown(self, field: str, number: int, flags: int) -> ProtocolError:
        if flags & IS_FINAL:  # a task whose end was skipped would never end
            return ProtocolError(f"Task {self._task_id} ended with a response of {field} {number}, which is unknown.")
        return UnknownValue(field, number)


def _described(transfer: _Transfer) -> str:
    return _described_as(transfer.kind, transfer.name)


def _described_as(kind: ResponseKind, name: str) -> str:
    text = kind.name.lower().replace("_", " ")
    return f"{text} {name!r}" if name else text
