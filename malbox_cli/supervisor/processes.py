"""Spawns, signals and reaps processes; with the helper programs the only file that does. Needs Linux, for pidfds."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.start_errors import is_transient
from plugin_runtime.errors import MalboxError

__all__ = [
    "Child",
    "SpawnError",
    "belongs_to",
    "children_are_kept",
    "end_helper",
    "kill_child",
    "reap_ended",
    "reap_helper",
    "spawn_detached",
    "spawn_helper",
    "stop_ourselves",
    "subreaper",
    "wait_for_end",
]

TOP = Path(__file__).parents[2]
"""Where a helper finds our packages; it runs without those of others."""
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37


class SpawnError(MalboxError):
    """A process could not be started.

    Attributes:
        is_transient: Whether another try may go well: what was in the way goes away by itself.
    """

    def __init__(self, text: str, *, is_transient: bool = False) -> None:
        super().__init__(text)
        self.is_transient = is_transient


@dataclass(slots=True)
class Child:
    """A living or ended process that was spawned for us, in a session and process group of its own.

    Attributes:
        pid: Its process id, which is its group's and its session's too.
        pidfd: Becomes readable when it ends.
        output: The read end of its standard output and error, not blocking.
        number: Which of the run's spawns it was; everything that it starts is marked with that.
        was_killed: Whether we sent it SIGKILL while it lived.
        cpu_seconds: What it had of the processors, once it is reaped.
    """

    pid: int
    pidfd: int
    output: int
    number: int
    was_killed: bool = False
    cpu_seconds: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, so that `reap` does not wait."""
        poll = select.poll()  # not select: the supervisor of many plugins has more descriptors than that takes
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def signal(self, number: int) -> None:
        """Send a signal to its whole group; one that is gone, or has become another user's, is no error."""
        if number == signal.SIGKILL and not self.has_ended:
            self.was_killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reap(self) -> ExitStatus:
        """Return how it ended; to be called once its pidfd is readable. What is left of its group is killed."""
        # Once it is reaped, its number may be that of somebody else's group.
        self.signal(signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return ExitStatus.of_return_code(os.waitstatus_to_exitcode(status))

    def close(self) -> None:
        """Close its pidfd; whoever reads its output closes that."""
        os.close(self.pidfd)


def kill_child(pid: int) -> None:
    """Kill a child of ours, adopted or not, which was not reaped; another user's is left alone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def reap_ended(pid: int) -> ExitStatus | None:
    """Reap a child of ours if it has ended, and return how; None: it lives, or is no child of ours. Does not block."""
    with suppress(ChildProcessError):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            return ExitStatus.of_return_code(os.waitstatus_to_exitcode(status))
    return None


def wait_for_end(pids: Collection[int], seconds: float) -> None:
    """Wait until all these children of ours, not reaped yet, have ended, or so many seconds have passed."""
    give_up_at = time.monotonic() + seconds
    with ExitStack() as stack:
        poll, living = select.poll(), set[int]()
        for pid in pids:
            with suppress(OSError):  # no descriptor is left: the others' ends tell how time passes
                pidfd = os.pidfd_open(pid)
                stack.callback(os.close, pidfd)
                poll.register(pidfd, select.POLLIN)
                living.add(pidfd)
        while living and (left := give_up_at - time.monotonic()) > 0:
            for pidfd, _ in poll.poll(left * 1000):
                poll.unregister(pidfd)
                living.discard(pidfd)


@contextmanager
def children_are_kept() -> Iterator[None]:
    """Have children that end wait until they are reaped, during a block; to be called on the main thread.

    Whoever started us may have had SIGCHLD ignored, and then nobody could find out how a plugin ended.
    """
    was_ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    if was_ignored:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        if was_ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)


@contextmanager
def subreaper() -> Iterator[None]:
    """Have every orphan among our descendants become a child of ours during a block."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def spawn_helper(name: str, arguments: Sequence[str], keep: int) -> subprocess.Popen[bytes]:
    """Start a helper program of our own in a session of its own, with one descriptor of ours.

    Args:
        name: The module beside this one whose `main` it runs, with nothing but the standard library.
        arguments: What it is told.
        keep: The descriptor that it has too.

    Raises:
        SpawnError: It could not be started.
    """
    # Last on the path: what others have installed beside us is no part of the standard library.
    code = f"import sys; sys.path.append({str(TOP)!r}); from {__package__}.{name} import main; sys.exit(main())"
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(keep,),
        )
    except OSError as error:
        why = f"cannot start {sys.executable}: {error.strerror}"
        raise SpawnError(why, is_transient=is_transient(error.errno)) from error


def reap_helper(helper: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for the end of a helper that has nothing to do any more, and after `patience` seconds kill it.

    One that somebody has stopped does not end by itself.
    """
    try:
        helper.wait(patience)
    except subprocess.TimeoutExpired:
        end_helper(helper)


def end_helper(helper: subprocess.Popen[bytes]) -> None:
    """Kill and reap a helper."""
    helper.kill()
    helper.wait()


def stop_ourselves() -> None:
    """Stop this process as Ctrl-Z does, and return when it goes on; to be called on the main thread.

    In a group that no shell looks after nothing happens: nobody would let it go on.
    """
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        # To this very thread: another one might be stopped a moment later, and we would go on until then.
        signal.raise_signal(signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, handler)


def spawn_detached(argv: Sequence[str], output: int) -> tuple[int, int]:
    """Start a program in a session of its own that goes on when we end; return its pid and a pidfd.

    Args:
        argv: What to run.
        output: Where its standard output and error go.

    Raises:
        SpawnError: It could not be started.
    """
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
        return pid, os.pidfd_open(pid)
    except OSError as error:
        raise SpawnError(f"cannot start {argv[0]}: {error.strerror}") from error


def belongs_to(pid: int, session: int) -> bool:
    """Return whether a process is in a session; one that has ended is not."""
    if pid == session:
        return True
    try:
        return os.getsid(pid) == session
    except (ProcessLookupError, PermissionError):
        return False
