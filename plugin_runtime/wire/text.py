"""Text that has to fit: into UTF-8, into so many bytes, into JSON."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.messages import Buffer

__all__ = ["compact_json", "cut_end", "cut_middle", "encodable", "parse_json_object"]

_LEFT_OUT = b"\n[... left out, because the message is too long ...]\n"
_CUT = "\u2026"
_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    r"""Return the text with every lone surrogate spelled out (``\udce4``), so that it has UTF-8."""
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def cut_middle(text: str, limit: int) -> bytes:
    """Return the text as UTF-8 of at most `limit` bytes; a longer one loses its middle, with a mark where it was.

    Both ends stay because a traceback says at its beginning where it happened and at its end what did.
    """
    if len(text) <= limit:
        whole = encodable(text).encode()
        if len(whole) <= limit:
            return whole
    room = limit - len(_LEFT_OUT)
    head = encodable(text[:room]).encode()[: room // 2]
    tail = encodable(text[-room:]).encode()[-(room - room // 2) :]
    return _whole_characters(head) + _LEFT_OUT + _whole_characters(tail)


def cut_end(text: str, limit: int, size: Callable[[str], int]) -> str:
    """Return the text, or as much of its beginning as keeps `size` of it, with a mark at its end, within `limit`.

    `size` must not shrink while the text grows and must not be below the number of its characters. Nothing at all is
    left where not even the mark has room.
    """
    if len(text) <= limit and size(text) <= limit:
        return text
    lengths = range(min(len(text), limit) + 1)
    fitting = bisect_right(lengths, limit, key=lambda length: size(text[:length] + _CUT))
    return text[: fitting - 1] + _CUT if fitting else ""


def compact_json(value: object) -> bytes:
    """Return the value as JSON in UTF-8 without spaces; its strings have no lone surrogates."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def parse_json_object(data: Buffer, what: str) -> dict[str, object]:
    """Return the object that the data is; `what` names the data in the error.

    Raises:
        ProtocolError: The data is not one JSON object in UTF-8.
    """
    try:
        value: object = json.loads(str(data, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The peer sent {what} that is not JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"The peer sent {what} that is JSON, but no object.")
    return value


def _whole_characters(data: bytes) -> bytes:
    """Return UTF-8 that was cut anywhere without the pieces of characters at its ends."""
    return data.decode("utf-8", "ignore").encode()
