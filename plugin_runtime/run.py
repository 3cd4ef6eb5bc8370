"""`run`: build the real ports from the environment and run the loop until the plugin has stopped."""

import os
import select
import signal
import socket
import sys
from importlib import metadata
from types import FrameType
from typing import NoReturn

from plugin_runtime.environment import PROTOCOL_VERSION, PluginEnvironment
from plugin_runtime.errors import MalboxError
from plugin_runtime.handlers import report_to_stderr
from plugin_runtime.log import configure_logging
from plugin_runtime.loop import PluginLoop
from plugin_runtime.plugin import Plugin
from plugin_runtime.wire.messages import Hello

__all__ = ["run"]

EXTENSIONS = frozenset({"credits", "cancel", "warnings"})
EXIT_USAGE = 2


def run(plugin: Plugin, name: str | None = None, version: str | None = None) -> None:
    """Run the plugin until its supervisor tells it to stop; returns only then, with the process's exit code set.

    Args:
        plugin: The plugin.
        name: Its name; by default the name of its class.
        version: Its version.

    Raises:
        SystemExit: Always: with 0 after an orderly stop, 1 if the plugin could not do its work, 2 if the process was
            not started as a plugin.
    """
    try:
        environment = PluginEnvironment.read(os.environ)
        code = _run(plugin, environment, name or type(plugin).__name__, version or "0.0.0")
    except MalboxError as error:
        report_to_stderr(f"{os.path.basename(sys.argv[0]) or 'plugin'}: {error}")
        code = EXIT_USAGE if "MALBOX_PLUGIN_ID" not in os.environ else 1
    _leave(code)


def _run(plugin: Plugin, environment: PluginEnvironment, name: str, version: str) -> int:
    # Loading iceoryx2 takes longer than everything else here, and a wrong environment does not need it.
    from plugin_runtime.ports.iceoryx import silence_log
    from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts

    configure_logging()
    silence_log(verbose=environment.verbose)
    hello = Hello(
        protocol=PROTOCOL_VERSION,
        runtime=f"malbox-python {_version_of('malbox')}",
        iceoryx2=_version_of("iceoryx2"),
        plugin=name,
        version=version,
        instance=environment.instance,
        extensions=EXTENSIONS,
    )
    uses_credits = environment.supervisor_knows_extensions
    with (
        IceoryxPluginPorts(environment.domain, environment.plugin_id, uses_credits=uses_credits) as ports,
        Supervisor(environment.supervisor_pid) as supervisor,
    ):
        loop = PluginLoop(plugin, ports, environment, hello)
        signals = Signals(loop)
        for fd in (signals.fd, *supervisor.descriptors()):
            ports.watch(fd)

        def supervisor_ended() -> bool:
            signals.drain()
            return supervisor.ended()

        return loop.run(supervisor_ended)


class Supervisor:
    """Whether the process that started us is still there. None: nobody that we know started us."""

    def __init__(self, pid: int | None) -> None:
        self._pidfd = -1
        if pid is not None:
            try:
                self._pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                raise MalboxError(f"the supervisor (process {pid}) is gone") from None

    def descriptors(self) -> list[int]:
        """Return what becomes readable when it ends."""
        return [] if self._pidfd < 0 else [self._pidfd]

    def ended(self) -> bool:
        """Return whether it ended."""
        return self._pidfd >= 0 and bool(select.select([self._pidfd], [], [], 0)[0])

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)


class Signals:
    """SIGTERM and SIGINT stop the loop; a second one kills the process.

    The kernel's word that a signal came is a byte in a socket, which ends a wait that had not begun yet as well.
    """

    def __init__(self, loop: PluginLoop) -> None:
        self._loop = loop
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    @property
    def fd(self) -> int:
        """What a signal makes readable."""
        return self._reader.fileno()

    def drain(self) -> None:
        """Take the bytes; Python has called the handlers by then."""
        try:
            while self._reader.recv(256):
                pass
        except BlockingIOError:
            return

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._loop.ask_stop():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def _leave(code: int) -> NoReturn:
    """End the process with `code`, also where a handler still runs: its thread must not hold the interpreter up."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
    sys.exit(code)
