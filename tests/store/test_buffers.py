"""The copies of frames, and the memory that they use again."""

import pytest

from malbox_cli.store.buffers import MAX_KEPT, MIN_POOLED_BYTES, Buffers
from plugin_runtime.wire.names import CHUNK_SIZE

SIZES = [0, 1, MIN_POOLED_BYTES - 1, MIN_POOLED_BYTES, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1]


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_the_bytes_of_its_frame_and_stays_when_the_frame_goes(size: int) -> None:
    frame = bytearray(b"x" * size)

    copy = Buffers().copy_of(memoryview(frame))
    frame[:] = b"y" * size

    assert bytes(copy) == b"x" * size


def test_a_block_that_was_given_back_is_used_again() -> None:
    buffers = Buffers()
    first = buffers.copy_of(b"a" * CHUNK_SIZE)
    block = first.obj

    buffers.give_back(first)
    second = buffers.copy_of(b"b" * MIN_POOLED_BYTES)

    assert second.obj is block
    assert bytes(second) == b"b" * MIN_POOLED_BYTES


def test_two_copies_at_once_have_a_block_each() -> None:
    buffers = Buffers()

    first, second = buffers.copy_of(b"a" * CHUNK_SIZE), buffers.copy_of(b"b" * CHUNK_SIZE)

    assert first.obj is not second.obj
    assert bytes(first) == b"a" * CHUNK_SIZE


def test_no_more_than_a_few_blocks_are_kept() -> None:
    buffers = Buffers()
    copies = [buffers.copy_of(b"a" * CHUNK_SIZE) for _ in range(MAX_KEPT + 3)]
    blocks = [copy.obj for copy in copies]

    for copy in copies:
        buffers.give_back(copy)
    again = [buffers.copy_of(b"b" * CHUNK_SIZE).obj for _ in range(MAX_KEPT + 3)]

    assert sum(any(block is old for old in blocks) for block in again) == MAX_KEPT
