"""What other threads tell the loop: a queue, and a descriptor that is readable while something is in it."""

import os
import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue for one reader that waits on descriptors. What is put in after it was closed is dropped.

    Attributes:
        fd: Readable while something is in it.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._open = True

    def put(self, item: T) -> None:
        """Put something in; from any thread."""
        with self._lock:
            if self._open:
                self._items.append(item)
                os.eventfd_write(self.fd, 1)

    def take_all(self) -> list[T]:
        """Take out everything, oldest first."""
        if not self._items:
            return []
        with self._lock:
            items = list(self._items)
            self._items.clear()
            os.eventfd_read(self.fd)
        return items

    def close(self) -> None:
        """Close the descriptor."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.fd)
