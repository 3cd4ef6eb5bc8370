"""One descriptor for many: pipes, pidfds and sockets on an epoll, which itself is watched by the reactor's wait.

A WaitSet says neither whether a descriptor can be written to nor, short of comparing each attachment, which one it was;
an epoll says both, and is itself a descriptor that becomes readable.
"""

import select
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Poller"]


@dataclass(slots=True, eq=False)
class Watched:
    """Who is called back for one descriptor."""

    readable: Callable[[], None]
    writable: Callable[[], None] | None = None


class Poller:
    """Calls back for each descriptor that is ready."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}

    @property
    def fd(self) -> int:
        """Readable while any of the descriptors is ready."""
        return self._epoll.fileno()

    def add(self, fd: int, readable: Callable[[], None]) -> None:
        """Call `readable` while `fd` can be read, or its other end is gone."""
        self._watched[fd] = Watched(readable)
        self._epoll.register(fd, select.EPOLLIN)

    def want_write(self, fd: int, writable: Callable[[], None] | None) -> None:
        """Call `writable` too while `fd` can be written to; None: not any more."""
        self._watched[fd].writable = writable
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if writable else 0))

    def remove(self, fd: int) -> None:
        """Forget a descriptor; to be called before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def dispatch(self) -> None:
        """Call back for what is ready now. Does not block."""
        # What is called back may close a descriptor and open another one, which gets the same number.
        for fd, mask, watched in [(fd, mask, self._watched[fd]) for fd, mask in self._epoll.poll(0)]:
            if mask & select.EPOLLOUT and watched.writable is not None and self._watched.get(fd) is watched:
                watched.writable()
            if mask & ~select.EPOLLOUT and self._watched.get(fd) is watched:
                watched.readable()

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()
