"""Spawns, signals and reaps processes; the only file that does. Needs Linux, for pidfds."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from malbox_cli.manifest.environment import inherited
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.exit_status import ExitStatus
from plugin_runtime.errors import MalboxError

__all__ = ["Child", "SpawnError", "belongs_to", "reap_helper", "spawn", "spawn_helper", "stop_ourselves"]


class SpawnError(MalboxError):
    """A process could not be started."""


@dataclass(slots=True)
class Child:
    """A living or ended process that was spawned here, in a session and process group of its own.

    Attributes:
        pid: Its process id, which is its group's and its session's too.
        pidfd: Becomes readable when it ends.
        output: The read end of its standard output and error, not blocking.
    """

    pid: int
    pidfd: int
    output: int
    _popen: subprocess.Popen[bytes]

    def signal(self, number: int) -> None:
        """Send a signal to its whole group; one that is gone, or has become another user's, is no error."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reap(self) -> ExitStatus:
        """Return how it ended; to be called once its pidfd is readable. What is left of its group is killed."""
        # Once it is reaped, its number may be that of somebody else's group.
        self.signal(signal.SIGKILL)
        return ExitStatus.of_return_code(self._popen.wait())

    def close(self) -> None:
        """Close its pidfd; whoever reads its output closes that."""
        os.close(self.pidfd)


def spawn(spec: PluginSpec, variables: Mapping[str, str], descriptor_limits: tuple[int, int]) -> Child:
    """Start a plugin's process.

    Args:
        spec: What to run.
        variables: What it is told through its environment, on top of ours and the manifest's.
        descriptor_limits: The soft and hard limit on open descriptors that it gets; ours are raised.

    Raises:
        SpawnError: The program could not be started; the text says why.
    """
    # Without it a Python plugin's prints would be seen when it ends, or never where it is killed.
    environment = {"PYTHONUNBUFFERED": "1", **inherited(os.environ, spec.inherit_env), **spec.env, **variables}
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        raise SpawnError(_why(spec, error)) from error
    try:
        popen = subprocess.Popen(
            spec.argv,
            cwd=spec.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
            close_fds=True,
            restore_signals=True,  # Python ignores SIGPIPE for itself; a plugin gets it back
        )
    except (OSError, ValueError) as error:
        os.close(reader)
        raise SpawnError(_why(spec, error)) from error
    finally:
        os.close(writer)
    os.set_blocking(reader, False)
    with suppress(ProcessLookupError, PermissionError):  # it may have ended already, or become another user's
        resource.prlimit(popen.pid, resource.RLIMIT_NOFILE, descriptor_limits)
    try:
        pidfd = os.pidfd_open(popen.pid)
    except OSError as error:  # nobody would see its end
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
        os.close(reader)
        raise SpawnError(_why(spec, error)) from error
    return Child(popen.pid, pidfd, reader, popen)


def spawn_helper(argv: list[str], keep: int) -> subprocess.Popen[bytes]:
    """Start a helper of our own in a session of its own, fed through its standard input, with one descriptor of ours.

    Raises:
        SpawnError: It could not be started.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(keep,),
        )
    except OSError as error:
        raise SpawnError(f"cannot start {argv[0]}: {error.strerror}") from error


def reap_helper(helper: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for the end of a helper that has nothing to do any more, and after `patience` seconds kill it.

    One that somebody has stopped does not end by itself.
    """
    try:
        helper.wait(patience)
    except subprocess.TimeoutExpired:
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


def belongs_to(pid: int, session: int) -> bool:
    """Return whether a process is in a session; one that has ended is not."""
    if pid == session:
        return True
    try:
        return os.getsid(pid) == session
    except (ProcessLookupError, PermissionError):
        return False


def _why(spec: PluginSpec, error: OSError | ValueError) -> str:
    program = spec.argv[0]
    if isinstance(error, OSError) and error.errno is not None:
        match error.errno:
            case errno.ENOENT if not spec.cwd.is_dir():
                return f"its folder {spec.cwd} does not exist any more"
            case errno.ENOENT if os.path.exists(program):
                return f"cannot start {program}: the interpreter that its first line names does not exist"
            case errno.ENOENT:
                return f"cannot start {program}: it does not exist"
            case errno.EACCES:
                return f"cannot start {program}: it may not be executed (chmod +x it)"
            case errno.ENOEXEC:
                return f"cannot start {program}: it is no program for this machine (a script needs a first line #!...)"
            case errno.E2BIG:
                return f"cannot start {program}: its arguments and environment are too large; shorten its config"
            case _:
                return f"cannot start {program}: {error.strerror}"
    return f"cannot start {program}: {error}"
