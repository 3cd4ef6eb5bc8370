"""The payload of a task request: postcard of ``{sample_path: str, config: [(str, str)]}``.

A string is its length in bytes as a LEB128 varint and then UTF-8; the list is its count as a varint and then the pairs.
Postcard has no library for Python that is kept up, and these two shapes are all of it that the wire uses.
"""

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import Buffer, TaskRequest

__all__ = ["decode_task_request", "encode_task_request"]

_MAX_VARINT_BYTES = 10
_U64_LIMIT = 1 << 64
_MIN_PAIR_BYTES = 2  # a pair of empty strings


def encode_task_request(request: TaskRequest) -> bytes:
    """Return the request as bytes.

    Raises:
        ValueError: The path, a key or a value has no UTF-8, such as a path that the file system holds in other bytes.
    """
    out = bytearray()
    _write_str(out, "sample's path", request.sample_path)
    _write_varint(out, len(request.config))
    for key, value in request.config:
        _write_str(out, "configuration key", key)
        _write_str(out, "configuration value", value)
    return bytes(out)


def decode_task_request(payload: Buffer) -> TaskRequest:
    """Return the request that the payload begins with; bytes after it are ignored.

    A key that comes twice is kept twice; `TaskRequest.config_dict` lets the last one count.

    Raises:
        ProtocolError: The payload does not begin with a request.
    """
    view = memoryview(payload)
    path, at = _read_str(view, 0, "sample_path")
    count, at = _read_varint(view, at, "the count of config")
    if count * _MIN_PAIR_BYTES > len(view) - at:
        raise ProtocolError(
            f"The task request claims {count} pairs of config and has {len(view) - at} bytes left for them."
        )
    pairs = []
    for _ in range(count):
        key, at = _read_str(view, at, "a key of config")
        value, at = _read_str(view, at, "a value of config")
        pairs.append((key, value))
    return TaskRequest(path, tuple(pairs))


def _write_str(out: bytearray, what: str, text: str) -> None:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The {what} {text!r} cannot travel because it is not UTF-8; rename it to something that is."
        ) from error
    _write_varint(out, len(data))
    out += data


def _write_varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _read_str(view: memoryview, at: int, what: str) -> tuple[str, int]:
    length, at = _read_varint(view, at, f"the length of {what}")
    end = at + length
    if end > len(view):
        raise ProtocolError(f"The task request ends inside {what}: {length} bytes claimed, {len(view) - at} there.")
    try:
        return str(view[at:end], "utf-8"), end
    except UnicodeDecodeError as error:
        raise ProtocolError(f"In the task request {what} is not UTF-8.") from error


def _read_varint(view: memoryview, at: int, what: str) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(view[at : at + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if number >= _U64_LIMIT:
                raise ProtocolError(f"In the task request {what} has more than 64 bits.")
            return number, at + index + 1
    if len(view) - at >= _MAX_VARINT_BYTES:
        raise ProtocolError(f"In the task request {what} is a varint of more than {_MAX_VARINT_BYTES} bytes.")
    raise ProtocolError(f"The task request ends before {what} does.")
