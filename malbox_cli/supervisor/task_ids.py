"""The numbers of tasks: reserved from the ledger in blocks, so that no two supervisors give out one of them."""

from collections import deque

from malbox_cli.supervisor.actions import Action, ReserveIds

__all__ = ["IDS_AT_ONCE", "TaskIds"]

IDS_AT_ONCE = 1000
"""How many are reserved at once; further ones when half of them are used."""


class TaskIds:
    """Gives them out in order. What is to be done is appended to `out`."""

    def __init__(self, out: list[Action]) -> None:
        self._out = out
        self._blocks: deque[range] = deque()
        self._are_on_their_way = False

    @property
    def are_used_up(self) -> bool:
        """Whether there is none just now."""
        return not self._blocks

    @property
    def unused(self) -> range:
        """The last of the blocks, as far as it is not used: it can be given back."""
        return self._blocks[-1] if self._blocks else range(0)

    def take(self) -> int:
        """Return the next number; there has to be one."""
        block = self._blocks[0]
        if len(block) == 1:
            self._blocks.popleft()
        else:
            self._blocks[0] = block[1:]
        if not self._are_on_their_way and sum(map(len, self._blocks)) < IDS_AT_ONCE // 2:
            self._are_on_their_way = True
            self._out.append(ReserveIds(IDS_AT_ONCE))
        return block[0]

    def reserved(self, first: int, count: int) -> None:
        """Take further ones."""
        self._are_on_their_way = False
        if self._blocks and self._blocks[-1].stop == first:
            self._blocks[-1] = range(self._blocks[-1].start, first + count)
        else:
            self._blocks.append(range(first, first + count))
