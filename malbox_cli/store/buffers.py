"""Memory that holds frames until they are on disk, and is used again for the next ones."""

from collections import deque

from plugin_runtime.wire.messages import Buffer
from plugin_runtime.wire.names import CHUNK_SIZE

__all__ = ["Buffers"]

MIN_POOLED_BYTES = 64 * 1024
"""Less than this the allocator keeps at hand by itself; a bigger block the kernel maps, clears and unmaps each time."""

MAX_KEPT = 8
"""How many blocks of `CHUNK_SIZE` are kept while nobody uses them."""


class Buffers:
    """Copies of frames. Any thread may take and give back."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()

    def copy_of(self, data: Buffer) -> memoryview:
        """Return a copy, to be given back."""
        size = len(data)
        if not MIN_POOLED_BYTES <= size <= CHUNK_SIZE:
            return memoryview(bytes(data))
        try:
            block = self._free.pop()
        except IndexError:
            block = bytearray(CHUNK_SIZE)
        view = memoryview(block)[:size]
        view[:] = data
        return view

    def give_back(self, view: memoryview) -> None:
        """Take back what `copy_of` returned; it is not to be used any more."""
        block = view.obj
        view.release()
        if isinstance(block, bytearray) and len(self._free) < MAX_KEPT:
            self._free.append(block)
