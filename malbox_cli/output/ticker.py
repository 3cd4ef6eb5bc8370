"""Something that is done again and again on a thread of its own, one at a time with others."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

__all__ = ["Ticker"]

SECONDS = 0.1


class Ticker:
    """Does it ten times a second until `close`.

    Args:
        tick: What to do.
        turn: A lock that is held meanwhile.
    """

    def __init__(self, tick: Callable[[], object], turn: AbstractContextManager[object]) -> None:
        self._tick = tick
        self._turn = turn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="malbox-ticker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let it be the last time."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SECONDS):
            with self._turn:
                self._tick()
