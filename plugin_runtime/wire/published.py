"""Results as a plugin publishes them for other plugins: cut into frames, and checked while they are put together."""

from collections.abc import Iterator
from dataclasses import dataclass

from plugin_runtime.errors import ProtocolError, UnknownValue
from plugin_runtime.wire.chunks import split
from plugin_runtime.wire.codec import check_result_name
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, ResultHeader
from plugin_runtime.wire.messages import Buffer, DataFormat, ResultPayloadKind

__all__ = ["MAX_SEQUENCE", "Published", "PublishedFrame", "PublishedReassembler", "missed_between", "published_frames"]

MAX_SEQUENCE = 0xFFFFFF
"""The highest number of a result; the one after it is 1 again."""


@dataclass(frozen=True, slots=True)
class PublishedFrame:
    """One sample of a result channel."""

    header: ResultHeader
    parts: tuple[Buffer, ...]

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class Published:
    """One frame of a published result, checked against the frames before it.

    Attributes:
        task_id: The task in which it was pushed.
        kind: Whether the data is the result, or the path of a file that has it.
        format: How the data is encoded.
        name: The result's name.
        total_size: Bytes of data that the whole result has.
        data: This piece of it; it may point into shared memory.
        sequence: Which of its publisher's results it is, from 1 on; 0 where the publisher does not count.
        is_first: Whether the result begins here.
        is_last: Whether it ends here.
    """

    task_id: int
    kind: ResultPayloadKind
    format: DataFormat
    name: str
    total_size: int
    data: Buffer
    sequence: int
    is_first: bool
    is_last: bool


def published_frames(
    task_id: int,
    name: str,
    data: Buffer,
    format: DataFormat,  # noqa: A002 - the wire's word for it
    sequence: int,
) -> Iterator[PublishedFrame]:
    """Yield the frames of a result; their parts are views of `data`.

    Raises:
        ResultRefused: The name cannot travel.
    """
    encoded = check_result_name(name)
    view = memoryview(data)
    name_len = len(encoded)
    total = name_len + len(view)
    kind = ResultPayloadKind.STRUCTURED if format is DataFormat.JSON else ResultPayloadKind.INLINE
    for index, (start, end) in enumerate(split(total)):
        more = HAS_MORE_CHUNKS if end < total else 0
        header = ResultHeader(task_id, kind, format, more, sequence >> 16, index)
        header.sequence_low = sequence & 0xFFFF
        if index:
            yield PublishedFrame(header, (view[start - name_len : end - name_len],))
        else:
            header.name_len, header.total_size = name_len, total
            yield PublishedFrame(header, (encoded, view[: end - name_len]))


def missed_between(before: int, sequence: int) -> int:
    """Return how many results lie between two numbers of one publisher, of which the second came later."""
    return 0 if sequence == 0 else (sequence - before - 1) % MAX_SEQUENCE


@dataclass(slots=True)
class _Open:
    first: Published
    name_len: int
    received: int
    next_index: int


class PublishedReassembler:
    """Puts the frames of one publisher in their place. Frames can be missing: what is no longer whole is passed over.

    Attributes:
        lost_any: Whether a frame was passed over, or one was missing, since this was last set to False.
    """

    def __init__(self) -> None:
        self.lost_any = False
        self._open: _Open | None = None

    @property
    def is_open(self) -> bool:
        """Whether a result has begun and not ended."""
        return self._open is not None

    def restart(self) -> None:
        """Forget the result that has begun: its publisher is another process now."""
        self.lost_any |= self._open is not None
        self._open = None

    def feed(self, header: ResultHeader, payload: Buffer) -> Published | None:
        """Return the frame as a piece of its result, or None if it is of one that is not whole.

        Raises:
            ProtocolError: The frame makes no sense by itself, and was passed over.
        """
        more = bool(header.flags & HAS_MORE_CHUNKS)
        if header.chunk_index:
            return self._continue(header, payload, more=more)
        self.restart()
        try:
            kind, format_ = ResultPayloadKind(header.payload_kind), DataFormat(header.format)
        except ValueError as error:
            self.lost_any = True
            raise UnknownValue("payload_kind or format", header.payload_kind) from error
        name_len, total = header.name_len, header.total_size or len(payload)
        if name_len > len(payload) or (total <= len(payload) if more else total != len(payload)):
            self.lost_any = True
            raise ProtocolError("The peer published a result whose sizes contradict each other.")
        try:
            name = str(memoryview(payload)[:name_len], "utf-8")
        except UnicodeDecodeError as error:
            self.lost_any = True
            raise ProtocolError("The peer published a result whose name is not UTF-8.") from error
        data = memoryview(payload)[name_len:]
        sequence = _sequence_of(header)
        piece = Published(
            header.task_id, kind, format_, name, total - name_len, data, sequence, is_first=True, is_last=not more
        )
        if more:
            self._open = _Open(piece, name_len, len(payload), 1)
        return piece

    def _continue(self, header: ResultHeader, payload: Buffer, *, more: bool) -> Published | None:
        opened = self._open
        if opened is None:
            self.lost_any = True
            return None
        first = opened.first
        received = opened.received + len(payload)
        total = first.total_size + opened.name_len
        fits = received < total if more else received == total
        if header.chunk_index != opened.next_index or _sequence_of(header) != first.sequence or not fits:
            self.restart()
            return None
        opened.received, opened.next_index = received, opened.next_index + 1
        if not more:
            self._open = None
        return Published(
            first.task_id,
            first.kind,
            first.format,
            first.name,
            first.total_size,
            payload,
            first.sequence,
            is_first=False,
            is_last=not more,
        )


def _sequence_of(header: ResultHeader) -> int:
    return int(header.sequence_high) << 16 | int(header.sequence_low)
