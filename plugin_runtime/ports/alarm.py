"""A timer that ends a system call of the calling thread.

iceoryx2 waits for room inside a call that holds Python's global lock: while it waits no other thread runs, so nobody
can tell it to stop. A signal that reaches the waiting thread ends the call, and the kernel's timers send one to a
thread of one's choice; Python's own `signal.setitimer` cannot choose it, and its one timer may be in use.
"""

import ctypes
import os
import signal
import threading
from types import TracebackType

__all__ = ["Alarm"]

CLOCK_MONOTONIC = 1
SIGEV_THREAD_ID = 4
SIGNAL = signal.SIGRTMAX - 3
"""A real-time signal that nobody else is known to use."""


class SigEvent(ctypes.Structure):
    """The kernel's ``struct sigevent``: what happens when the timer runs out."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread_id", ctypes.c_int),
        ("_padding", ctypes.c_int * 11),
    )


class TimerSpec(ctypes.Structure):
    """``struct itimerspec``: how often the timer runs out, and when it first does."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("first_seconds", ctypes.c_long),
        ("first_nanoseconds", ctypes.c_long),
    )


class ThreadTimer:
    """A timer of the kernel that sends `SIGNAL` to the thread that made it."""

    def __init__(self, libc: ctypes.CDLL) -> None:
        self._libc = libc
        self._id = ctypes.c_void_p()
        self._made = False
        event = SigEvent(None, int(SIGNAL), SIGEV_THREAD_ID, threading.get_native_id())
        _checked(libc.timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._id)), "make a timer")
        self._made = True

    def set(self, spec: TimerSpec) -> None:
        """Start the timer, or stop it where `spec` is all zero."""
        _checked(self._libc.timer_settime(self._id, 0, ctypes.byref(spec), None), "set a timer")

    def __del__(self) -> None:
        if self._made:
            self._libc.timer_delete(self._id)


class Alarm:
    """Within ``with alarm:`` a system call of this thread ends after `seconds`, and each later one after as long again.

    Any number of threads can be within it at once; each has a timer of its own. Python's signal handlers do not notice.

    Raises:
        OSError: The machine has no timer to give.
    """

    def __init__(self, seconds: float) -> None:
        whole, part = divmod(round(seconds * 1e9), 1_000_000_000)
        # It repeats because a signal that arrives just before the call begins to wait does not end it.
        self._on = TimerSpec(whole, part, whole, part)
        self._off = TimerSpec()
        self._timers = threading.local()
        self._libc = _libc_with_timers()

    def __enter__(self) -> None:
        timer = getattr(self._timers, "timer", None)
        if timer is None:
            timer = self._timers.timer = ThreadTimer(self._libc)
        timer.set(self._on)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timers.timer.set(self._off)


def _libc_with_timers() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "timer_create"):
        libc = ctypes.CDLL("librt.so.1", use_errno=True)  # where glibc kept the timers before 2.34
    # The signal has to be caught to end a call. Python code must not run in the thread that waits, because that thread
    # has the lock; so the handler is a C function that does nothing but return: abs(number of the signal).
    handler = ctypes.cast(libc.abs, ctypes.c_void_p)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(int(SIGNAL), handler)
    _checked(libc.siginterrupt(int(SIGNAL), 1), "catch a signal")
    return libc


def _checked(answer: int, what: str) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")
