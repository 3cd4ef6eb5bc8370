"""The answer to the question after a plugin's health: one final response with a JSON object."""

from typing import get_args

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import Frame, decode_error
from plugin_runtime.wire.headers import IS_FINAL, TaskResponseHeader
from plugin_runtime.wire.messages import Buffer, DataFormat, HealthAnswer, HealthLevel, ResponseKind
from plugin_runtime.wire.text import compact_json, cut_end, encodable, parse_json_object

__all__ = ["MAX_REASON", "decode_health", "health_frame"]

MAX_REASON = 500
"""Characters that the reason has at most; a longer one loses its end."""

_TASK_ID = 0
_NAME = b"health"
_LEVELS: tuple[HealthLevel, ...] = get_args(HealthLevel)


def health_frame(answer: HealthAnswer) -> Frame:
    """Return the response; it is the only one of its request."""
    data = compact_json({"level": answer.level, "reason": cut_end(encodable(answer.reason), MAX_REASON, len)})
    header = TaskResponseHeader(_TASK_ID, ResponseKind.RESULT, DataFormat.JSON, IS_FINAL, len(_NAME))
    return Frame(header, (_NAME, data))


def decode_health(header: TaskResponseHeader, payload: Buffer) -> HealthAnswer:
    """Return the answer that a response is; a reason that is too long loses its end.

    Raises:
        ProtocolError: It is an error, no final result called ``health``, or not an object with a level and a reason.
    """
    piece = Reassembler(_TASK_ID).feed(header, payload)
    if piece.kind is ResponseKind.ERROR:
        said = cut_end(decode_error(piece.data), MAX_REASON, len)
        raise ProtocolError(f"The plugin cannot answer the question after its health: {said}")
    if (piece.kind, piece.format, piece.name, piece.is_final) != (ResponseKind.RESULT, DataFormat.JSON, "health", True):
        raise ProtocolError("The peer answered the question after its health with something else than that.")
    values = parse_json_object(piece.data, "an answer to the question after its health")
    level = next((level for level in _LEVELS if level == values.get("level")), None)
    reason = values.get("reason", "")
    if level is None or not isinstance(reason, str):
        raise ProtocolError(
            f"The peer answered the question after its health without a `level` of {', '.join(_LEVELS)} "
            "or with a `reason` that is not a string."
        )
    return HealthAnswer(level, cut_end(encodable(reason), MAX_REASON, len))
