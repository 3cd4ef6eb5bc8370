"""Messages to header and payload, and back.

Encoding raises `ValueError` where the caller's values do not fit the wire; decoding raises `ProtocolError`, and nothing
else, whatever the peer sent. Frames of a response are put together again in `plugin_runtime.wire.chunks`.
"""

import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass

from plugin_runtime.errors import ProtocolError, ResultRefused, UnknownValue
from plugin_runtime.wire.chunks import split
from plugin_runtime.wire.headers import HAS_MORE_CHUNKS, IS_FINAL, EventHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.hello import decode_hello, encode_hello
from plugin_runtime.wire.messages import (
    MAX_I32,
    Buffer,
    Cancel,
    DataFormat,
    EventKind,
    EventMessage,
    Execute,
    HealthQuestion,
    ProgressUpdate,
    Request,
    ResponseKind,
)
from plugin_runtime.wire.names import CHUNK_SIZE, MAX_NAME_BYTES
from plugin_runtime.wire.postcard import decode_task_request, encode_task_request
from plugin_runtime.wire.text import compact_json, cut_end, cut_middle, encodable, parse_json_object

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Frame",
    "check_result_name",
    "decode_error",
    "decode_event",
    "decode_file_ref",
    "decode_hello",
    "decode_progress",
    "decode_request",
    "decode_result_available",
    "encode_event",
    "encode_hello",
    "encode_request",
    "encode_result_available",
    "error_frame",
    "file_ref_frame",
    "final_frame",
    "progress_frame",
    "result_frames",
]

MAX_MESSAGE_BYTES = 64 * 1024
"""Bytes that a frame of progress or of an error has at most."""

_EXECUTE = 0
_CANCEL = 1
_HEALTH = 2
_NO_TASK = 0

_MIN_I32 = -MAX_I32 - 1
_EVENT_KINDS = {kind.value: kind for kind in EventKind}


@dataclass(frozen=True, slots=True)
class Frame:
    """One response to send: its header, and its payload in parts that are written one after the other."""

    header: TaskResponseHeader
    parts: tuple[Buffer, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(map(len, self.parts))


def encode_request(request: Request) -> tuple[TaskRequestHeader, bytes]:
    """Return header and payload of a request.

    Raises:
        ValueError: The task's id or a text of the request cannot travel.
    """
    if isinstance(request, HealthQuestion):
        return TaskRequestHeader(_NO_TASK, _HEALTH), b""
    task_id = _i32(request.task_id, "task id")
    if isinstance(request, Cancel):
        return TaskRequestHeader(task_id, _CANCEL), b""
    return TaskRequestHeader(task_id, _EXECUTE), encode_task_request(request.request)


def decode_request(header: TaskRequestHeader, payload: Buffer) -> Request:
    """Return the request; the payload of all but a task is ignored, and the id of a question after health.

    Raises:
        UnknownValue: The type of the request is none of ours.
        ProtocolError: The payload is not a task request.
    """
    request_type = header.request_type
    if request_type == _EXECUTE:
        return Execute(header.task_id, decode_task_request(payload))
    if request_type == _CANCEL:
        return Cancel(header.task_id)
    if request_type == _HEALTH:
        return HealthQuestion()
    raise UnknownValue("request_type", request_type)


def check_result_name(name: str) -> bytes:
    """Return a result's name as it travels.

    Raises:
        ResultRefused: The name is empty, over 255 bytes, has a NUL in it or is not UTF-8.
    """
    try:
        data = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ResultRefused(f"The result's name {reprlib.repr(name)} is not UTF-8; use one that is.") from error
    if not data:
        raise ResultRefused("The result's name is empty; give it one.")
    if len(data) > MAX_NAME_BYTES:
        raise ResultRefused(
            f"The result's name {reprlib.repr(name)} has {len(data)} bytes, and at most {MAX_NAME_BYTES} can travel; "
            "use a shorter one."
        )
    if b"\0" in data:
        raise ResultRefused(f"The result's name {reprlib.repr(name)} has a NUL in it; leave it out.")
    return data


def result_frames(task_id: int, name: str, data: Buffer, format: DataFormat) -> Iterator[Frame]:  # noqa: A002 - the wire's word for it
    """Return the frames of a result, made one by one as they are asked for; their parts are views of `data`.

    Raises:
        ResultRefused: The name cannot travel; raised here and not by the iterator.
        ValueError: The task's id does not fit 32 bits; raised here too.
    """
    return _result_frames(_i32(task_id, "task id"), check_result_name(name), data, format)


def _result_frames(task_id: int, name: bytes, data: Buffer, format_: DataFormat) -> Iterator[Frame]:
    view = memoryview(data)
    name_len = len(name)
    total = name_len + len(view)
    kind = ResponseKind.RESULT
    for index, (start, end) in enumerate(split(total)):
        more = HAS_MORE_CHUNKS if end < total else 0
        if index:
            header = TaskResponseHeader(task_id, kind, format_, more, 0, index)
            yield Frame(header, (view[start - name_len : end - name_len],))
        else:
            # A response that is not cut says nothing of its size.
            header = TaskResponseHeader(task_id, kind, format_, more, name_len, 0, total_size=total if more else 0)
            yield Frame(header, (name, view[: end - name_len]))


def progress_frame(task_id: int, progress: float, message: str, *, warning: bool = False) -> Frame:
    """Return a frame of progress: the fraction is clamped to 0..1, NaN counts as 0, a long message loses its end.

    With `warning` the message is a warning instead, which only a supervisor that knows our extensions understands.

    Raises:
        ValueError: The task's id does not fit 32 bits.
    """
    fraction = _clamped(progress)
    if math.isnan(fraction):
        fraction = 0.0

    def encode(text: str) -> bytes:
        if warning:
            return compact_json({"progress": fraction, "message": "", "warning": text})
        return compact_json({"progress": fraction, "message": text})

    text = cut_end(encodable(message[:MAX_MESSAGE_BYTES]), MAX_MESSAGE_BYTES, lambda text: len(encode(text)))
    header = TaskResponseHeader(_i32(task_id, "task id"), ResponseKind.PROGRESS, DataFormat.JSON)
    return Frame(header, (encode(text),))


def decode_progress(data: Buffer) -> ProgressUpdate:
    """Return the progress that the data of a PROGRESS response says; a number outside 0..1 is clamped.

    Raises:
        ProtocolError: The data is no JSON object with a number as `progress` and a string, or nothing, as `message`.
    """
    values = parse_json_object(data, "progress")
    progress = values.get("progress")
    message = values.get("message", "")
    if not isinstance(progress, int | float) or isinstance(progress, bool):
        raise ProtocolError("The peer sent progress whose `progress` is not a number.")
    fraction = _clamped(progress)
    if math.isnan(fraction):
        raise ProtocolError("The peer sent progress whose `progress` is NaN.")
    warning = values.get("warning", "")
    if not isinstance(message, str) or not isinstance(warning, str):
        raise ProtocolError("The peer sent progress whose `message` or `warning` is not a string.")
    return ProgressUpdate(fraction, encodable(message), encodable(warning))


def file_ref_frame(task_id: int, name: str, path: str) -> Frame:
    """Return a frame that hands over a file by its path, which may hold what `os.fsdecode` made of odd bytes.

    Raises:
        ResultRefused: The name or the path cannot travel.
        ValueError: The task's id does not fit 32 bits.
    """
    name_bytes = check_result_name(name)
    try:
        path_bytes = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ResultRefused(f"The path {reprlib.repr(path)} of the result {name!r} is not one of a file.") from error
    if not path_bytes or b"\0" in path_bytes or len(name_bytes) + len(path_bytes) > CHUNK_SIZE:
        raise ResultRefused(f"The path {reprlib.repr(path)} of the result {name!r} is not one of a file.")
    header = TaskResponseHeader(
        _i32(task_id, "task id"), ResponseKind.FILE_REF, DataFormat.BYTES, 0, len(name_bytes), 0
    )
    return Frame(header, (name_bytes, path_bytes))


def decode_file_ref(data: Buffer) -> str:
    """Return the path that the data of a FILE_REF response is, in the form of `os.fsdecode`.

    Raises:
        ProtocolError: It is empty or has a NUL in it, so it is the path of nothing.
    """
    path = str(data, "utf-8", "surrogateescape")
    if not path or "\0" in path:
        raise ProtocolError(f"The peer sent {reprlib.repr(path)} as the path of a file.")
    return path


def error_frame(task_id: int, message: str) -> Frame:
    """Return the final frame of a task that failed; a message over 64 KiB loses its middle and says so there.

    Raises:
        ValueError: The task's id does not fit 32 bits.
    """
    header = TaskResponseHeader(_i32(task_id, "task id"), ResponseKind.ERROR, DataFormat.BYTES, IS_FINAL)
    return Frame(header, (cut_middle(message, MAX_MESSAGE_BYTES),))


def decode_error(data: Buffer) -> str:
    """Return the message that the data of an ERROR response is; what is not UTF-8 in it shows as U+FFFD."""
    return str(data, "utf-8", "replace")


def final_frame(task_id: int) -> Frame:
    """Return the final frame of a task that went well.

    Raises:
        ValueError: The task's id does not fit 32 bits.
    """
    return Frame(TaskResponseHeader(_i32(task_id, "task id"), ResponseKind.RESULT, DataFormat.BYTES, IS_FINAL))


def encode_event(event: EventMessage) -> tuple[EventHeader, bytes]:
    """Return header and payload of an event.

    Raises:
        ValueError: One of its ids does not fit 32 bits.
    """
    source = _i32(event.source_plugin_id, "source plugin id")
    associated = _i32(event.associated_id, "associated id")
    return EventHeader(event.kind, source_plugin_id=source, associated_id=associated), event.payload


def decode_event(header: EventHeader, payload: Buffer) -> EventMessage:
    """Return the event, with a copy of its payload.

    Raises:
        UnknownValue: The type of the event is none of ours.
    """
    kind = _EVENT_KINDS.get(header.event_type)
    if kind is None:
        raise UnknownValue("event_type", header.event_type)
    return EventMessage(kind, header.source_plugin_id, header.associated_id, bytes(payload))


def encode_result_available(source: str, name: str) -> bytes:
    """Return the payload of a PluginResultAvailable event.

    Raises:
        ValueError: One of the two has a NUL in it, which stands between them, or is not UTF-8.
    """
    text = f"{source}\0{name}"
    if text.count("\0") != 1:
        raise ValueError(f"The source {source!r} and the result's name {name!r} have to be without NUL.")
    return text.encode("utf-8")


def decode_result_available(payload: Buffer) -> tuple[str, str] | None:
    """Return the source and the result's name that a PluginResultAvailable event carries, or None if it carries none.

    Raises:
        ProtocolError: The payload is not UTF-8 or is not two texts with one NUL between them.
    """
    if not len(payload):
        return None
    try:
        texts = str(payload, "utf-8").split("\0")
    except UnicodeDecodeError as error:
        raise ProtocolError("The peer sent PluginResultAvailable with a payload that is not UTF-8.") from error
    if len(texts) != 2:
        raise ProtocolError(f"The peer sent PluginResultAvailable with {len(texts)} texts instead of source and name.")
    return texts[0], texts[1]


def _clamped(progress: float) -> float:
    """Return the number within 0..1, or NaN; an integer may be too big for a float before it is clamped."""
    return float(min(max(progress, 0.0), 1.0))


def _i32(number: int, what: str) -> int:
    if not _MIN_I32 <= number <= MAX_I32:
        raise ValueError(f"The {what} {number} does not fit 32 bits.")
    return number
