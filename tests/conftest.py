"""Where all tests run, and what none of them may leave."""

import gc
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# In a fresh clone the first text that is drawn makes hypothesis build its table of Unicode, a second or two of work;
# and a busy machine takes its time over megabytes. Neither says anything of the code.
settings.register_profile("malbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("malbox")

PATIENCE_SECONDS = 3.0
SHARED_MEMORY = Path("/dev/shm")
WATCHED_DESCRIPTORS = re.compile(r"socket:|pipe:|anon_inode:\[(eventfd|eventpoll|pidfd|signalfd)\]|/dev/shm/|/dev/null")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to Ctrl-C, and so would be what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def runtime_folder() -> Iterator[Path]:
    """Give every supervisor of this run a folder of its own to run in, which has to be empty in the end."""
    top = Path(tempfile.mkdtemp(prefix="mbt", dir="/tmp"))  # short, because it becomes part of longer names
    folder = top / "r"
    before = os.environ.get("MALBOX_RUNTIME_DIR")
    os.environ["MALBOX_RUNTIME_DIR"] = str(folder)
    try:
        yield folder
        left = list(folder.iterdir()) if folder.exists() else []
        assert not left, f"runs have left their folders: {left}"
    finally:
        shutil.rmtree(top, ignore_errors=True)
        if before is None:
            del os.environ["MALBOX_RUNTIME_DIR"]
        else:
            os.environ["MALBOX_RUNTIME_DIR"] = before


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a process, a thread, a descriptor or shared memory. It looks at this process only."""
    before = belongings()
    yield
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while left := belongings() - before:
        if time.monotonic() > give_up_at:
            pytest.fail(f"the test has left {', '.join(sorted(left))}")
        gc.collect()
        time.sleep(0.01)


def belongings() -> set[str]:
    """Return what this process has: children, threads of ours, descriptors that matter, and shared memory."""
    return {*children(), *threads(), *descriptors(), *shared_memory()}


def children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for pid in (task / "children").read_text().split():
                yield f"child {pid}"


def threads() -> Iterator[str]:
    return (f"thread {thread.name}" for thread in threading.enumerate() if thread.name.startswith("malbox"))


def descriptors() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if WATCHED_DESCRIPTORS.match(target):
                yield f"descriptor {number} ({target})"


def shared_memory() -> Iterator[str]:
    """Yield iceoryx2's files that this process made: each has a number in its name, and in that the process's id."""
    for name in os.listdir(SHARED_MEMORY):
        if any(int(number) >> 64 & 0xFFFFFFFF == os.getpid() for number in re.findall(r"[0-9]{20,}", name)):
            yield str(SHARED_MEMORY / name)
