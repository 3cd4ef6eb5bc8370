"""Entropy and printable strings of data that comes in pieces; where the data is cut changes nothing in the answers."""

import re
from collections import Counter
from math import log2

__all__ = ["EntropyMeter", "StringCounter", "entropy"]

MAX_BLOCKS = 256
SMALLEST_BLOCK = 1024  # the entropy of fewer bytes says little: n bytes cannot have more than log2(n) bits

_PRINTABLE = rb"[\t\x20-\x7e]"


def entropy(counts: Counter[int]) -> float:
    """Return the Shannon entropy of data with these counts of byte values, in bits per byte; 0 where there is none."""
    total = counts.total()
    if total == 0 or len(counts) == 1:
        return 0.0
    return log2(total) - sum(count * log2(count) for count in counts.values()) / total


class EntropyMeter:
    """Measures `expected` bytes as a whole and in at most 256 blocks of one size, the last of which may be shorter."""

    def __init__(self, expected: int) -> None:
        self.block_size = max(SMALLEST_BLOCK, -(-expected // MAX_BLOCKS))
        self._whole: Counter[int] = Counter()
        self._block: Counter[int] = Counter()
        self._in_block = 0
        self._blocks: list[float] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        start = 0
        while start < len(data):
            part = data[start : start + self.block_size - self._in_block]
            self._block.update(part)
            self._in_block += len(part)
            start += len(part)
            if self._in_block == self.block_size:
                self._end_block()

    def finish(self) -> tuple[float, list[float]]:
        """Return the entropy of everything and of each block, in bits per byte."""
        if self._in_block:
            self._end_block()
        return entropy(self._whole), self._blocks

    def _end_block(self) -> None:
        self._blocks.append(entropy(self._block))
        self._whole.update(self._block)
        self._block.clear()
        self._in_block = 0


class StringCounter:
    """Counts the longest runs of at least `min_length` printable ASCII characters, each one byte, or UTF-16LE."""

    def __init__(self, min_length: int, *, wide: bool = False) -> None:
        # The quantifiers are possessive: a run that was seen is never given back and tried in pieces.
        character = rb"(?:" + _PRINTABLE + rb"\x00)" if wide else _PRINTABLE
        cut_off = _PRINTABLE + rb"?" if wide else b""
        self._run = re.compile(character + rb"{%d,}+" % min_length)
        self._rest_of_run = re.compile(character + rb"*+")
        self._open_end = re.compile(character + rb"*" + cut_off + rb"\Z")
        self._cut_off = re.compile(cut_off + rb"\Z")
        self._longest_open_end = min_length * (2 if wide else 1)
        self._tail = b""  # what may be the beginning of a run; short, whatever the data is
        self._inside = False  # whether the data so far ended in a run that is counted already
        self.count = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        data = self._tail + data
        end = 0
        if self._inside:
            rest = self._rest_of_run.match(data)
            end = rest.end() if rest else 0
            if self._ends_in_run(data, end):
                return
        for run in self._run.finditer(data, end):
            self.count += 1
            end = run.end()
            if self._ends_in_run(data, end):
                return
        self._inside = False
        window = data[max(end, len(data) - self._longest_open_end) :]
        open_end = self._open_end.search(window)
        self._tail = open_end.group() if open_end else b""

    def _ends_in_run(self, data: bytes, end: int) -> bool:
        """Whether a run that was counted and stands up to `end` may go on in the next piece; remembers that if so."""
        if not self._cut_off.match(data, end):
            return False
        self._inside = True
        self._tail = data[end:]
        return True
