"""The alarm ends a call that waits in the thread that set it, and nothing else."""

import ctypes
import errno
import signal
import socket
import threading
import time

import pytest
from port_rigs import DEADLINE

from plugin_runtime.ports.alarm import Alarm

LIBC = ctypes.PyDLL(None, use_errno=True)  # its calls keep Python's global lock, as iceoryx2's do


class TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def wait(seconds: int) -> int:
    """Wait in C with Python's lock held; return 0, or the error that ended it."""
    return ctypes.get_errno() if LIBC.nanosleep(ctypes.byref(TimeSpec(seconds, 0)), None) else 0


def test_a_call_that_waits_with_the_lock_held_ends_and_so_does_the_next() -> None:
    alarm = Alarm(0.02)
    begun = time.monotonic()
    with alarm:
        assert wait(int(DEADLINE)) == errno.EINTR
        assert wait(int(DEADLINE)) == errno.EINTR
    assert 0.035 <= time.monotonic() - begun < DEADLINE / 2


def test_it_works_in_any_thread_and_leaves_the_others_alone() -> None:
    alarm, results = Alarm(0.02), []
    told = threading.Event()

    def waits() -> None:
        with alarm:
            results.append(wait(int(DEADLINE)))
        told.set()

    threads = [threading.Thread(target=waits) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert results == [errno.EINTR] * 3
    assert told.wait(0)


def test_after_it_calls_wait_as_long_as_they_like() -> None:
    alarm = Alarm(0.005)
    with alarm:
        pass
    assert LIBC.nanosleep(ctypes.byref(TimeSpec(0, 30_000_000)), None) == 0


def test_python_does_not_notice_the_signal() -> None:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno())
    try:
        with Alarm(0.005):
            assert wait(1) == errno.EINTR
        with pytest.raises(BlockingIOError):
            reader.recv(1)
    finally:
        signal.set_wakeup_fd(before)
        reader.close()
        writer.close()


def test_timers_do_not_add_up() -> None:
    def timers() -> int:
        with open("/proc/self/timers") as file:
            return file.read().count("ID:")

    before = timers()
    for _ in range(20):
        alarm = Alarm(1.0)
        with alarm:
            pass

        def enter(alarm: Alarm = alarm) -> None:
            with alarm:
                pass

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    del alarm, enter
    assert timers() == before


def test_no_timer_to_give_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = Alarm(1.0)
    monkeypatch.setattr("plugin_runtime.ports.alarm.CLOCK_MONOTONIC", -12345)
    with pytest.raises(OSError, match="cannot make a timer"), alarm:
        pytest.fail("it was entered")
