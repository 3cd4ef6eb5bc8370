"""The headers of iceoryx2's samples, as `ctypes` structures.

They have the layout of the reference's ``repr(C)`` structures in the machine's own byte order, which is little-endian
on every machine that is supported. iceoryx2 compares a header's type name, size and alignment when a service is
opened, so the names are part of the wire. Bytes that ``repr(C)`` leaves to padding are fields here, so that they are
always zero.

Fields come and go unchecked: `ctypes` cuts a number that is too big without a word, so whoever writes one checks first.
"""

import ctypes
from typing import ClassVar

__all__ = [
    "HAS_MORE_CHUNKS",
    "IS_FINAL",
    "EventHeader",
    "ResultHeader",
    "TaskRequestHeader",
    "TaskResponseHeader",
]

IS_FINAL = 1
"""Bit of ``flags``: nothing follows in this task."""

HAS_MORE_CHUNKS = 2
"""Bit of ``flags``: the payload goes on in the next frame."""

_PREFIX = "malbox_plugin_transport::ipc::headers::"


class TaskRequestHeader(ctypes.Structure):
    """Supervisor to plugin, in front of a task request: 8 bytes, aligned to 4."""

    task_id: int
    request_type: int

    _fields_: ClassVar = (
        ("task_id", ctypes.c_int32),
        ("request_type", ctypes.c_uint8),
        ("_reserved", ctypes.c_uint8 * 3),
    )

    @staticmethod
    def type_name() -> str:
        """Return the name that iceoryx2 compares when the service is opened."""
        return _PREFIX + "TaskRequestHeader"


class TaskResponseHeader(ctypes.Structure):
    """Plugin to supervisor, in front of each frame of a task's response: 24 bytes, aligned to 8."""

    task_id: int
    kind: int
    format: int
    flags: int
    name_len: int
    chunk_index: int
    total_size: int

    _fields_: ClassVar = (
        ("task_id", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("format", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("name_len", ctypes.c_uint8),
        ("chunk_index", ctypes.c_uint32),
        ("_padding", ctypes.c_uint8 * 4),
        ("total_size", ctypes.c_uint64),
    )

    @staticmethod
    def type_name() -> str:
        """Return the name that iceoryx2 compares when the service is opened."""
        return _PREFIX + "TaskResponseHeader"


class EventHeader(ctypes.Structure):
    """In front of an event's payload, in both directions: 20 bytes, aligned to 4."""

    event_type: int
    source_plugin_id: int
    associated_id: int

    _fields_: ClassVar = (
        ("event_type", ctypes.c_uint16),
        ("_padding", ctypes.c_uint8 * 2),
        ("source_plugin_id", ctypes.c_int32),
        ("associated_id", ctypes.c_int32),
        ("_reserved", ctypes.c_uint8 * 6),
        ("_tail_padding", ctypes.c_uint8 * 2),
    )

    @staticmethod
    def type_name() -> str:
        """Return the name that iceoryx2 compares when the service is opened."""
        return _PREFIX + "EventHeader"


class ResultHeader(ctypes.Structure):
    """In front of a result that a plugin publishes for others: 32 bytes, aligned to 8.

    Two reserved fields carry, as an extension, which of its publisher's results it is; the reference leaves them zero.
    """

    task_id: int
    payload_kind: int
    format: int
    flags: int
    sequence_high: int
    chunk_index: int
    total_size: int
    name_len: int
    sequence_low: int

    _fields_: ClassVar = (
        ("task_id", ctypes.c_int32),
        ("payload_kind", ctypes.c_uint8),
        ("format", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("sequence_high", ctypes.c_uint8),
        ("chunk_index", ctypes.c_uint32),
        ("_padding", ctypes.c_uint8 * 4),
        ("total_size", ctypes.c_uint64),
        ("name_len", ctypes.c_uint16),
        ("sequence_low", ctypes.c_uint16),
        ("_tail_padding", ctypes.c_uint8 * 4),
    )

    @staticmethod
    def type_name() -> str:
        """Return the name that iceoryx2 compares when the service is opened."""
        return _PREFIX + "ResultHeader"
