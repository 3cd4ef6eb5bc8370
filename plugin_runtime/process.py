"""`run`: build the real ports from the environment and run the loop until the plugin has stopped."""

import faulthandler
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from plugin_runtime.environment import LOG, PROTOCOL_VERSION, PluginEnvironment
from plugin_runtime.errors import MalboxError, TransportError, VersionMismatch
from plugin_runtime.handlers import report_to_stderr
from plugin_runtime.log import configure_logging
from plugin_runtime.loop import PluginLoop
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.releases import release_of, require_release
from plugin_runtime.wire.messages import Hello

__all__ = ["run"]

EXTENSIONS = frozenset({"credits", "cancel", "warnings", "stop", "health", "heartbeat", "parallel"})
EXIT_USAGE = 2
EXIT_OTHER_RELEASE = os.EX_CONFIG
"""The exit code, 78, of a plugin that cannot talk to its supervisor because their releases of iceoryx2 differ."""

FATAL_SIGNALS = (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)


def run(plugin: Plugin, name: str | None = None, version: str | None = None) -> None:
    """Run the plugin until its supervisor tells it to stop; ends the process. For the main thread.

    Args:
        plugin: The plugin.
        name: Its name; by default the name of its class.
        version: Its version.

    A fatal signal, SIGABRT too, leaves the traceback of every thread on standard error; a plugin that has set up
    `faulthandler`, or a handler of its own for one of these signals, is left as it is.

    Raises:
        SystemExit: With 0 after an orderly stop, 1 if the plugin could not do its work, 2 if the process was not
            started as a plugin, 78 if its release of iceoryx2 is not the supervisor's. Where a handler does not return,
            or the supervisor is gone, the process ends at once and nothing is raised.
    """
    at_once = False
    _show_fatal_signals()
    try:
        if threading.current_thread() is not threading.main_thread():
            raise MalboxError("run was called by another thread than the main one, which alone is told of signals")
        environment = PluginEnvironment.read(os.environ)
        os.environ.pop(LOG, None)  # what a plugin starts, for a sample perhaps, is not to write in its name
        if environment.debug:
            code = _debug(plugin, environment)
        else:
            code, at_once = _run(plugin, environment, name or type(plugin).__name__, version or "0.0.0")
    except MalboxError as error:
        report_to_stderr(f"{os.path.basename(sys.argv[0]) or 'plugin'}: {error}")
        if isinstance(error, VersionMismatch):
            code = EXIT_OTHER_RELEASE
        else:
            code = EXIT_USAGE if "MALBOX_PLUGIN_ID" not in os.environ else 1
    _leave(code, at_once=at_once)


def _run(plugin: Plugin, environment: PluginEnvironment, name: str, version: str) -> tuple[int, bool]:
    release = release_of("iceoryx2")
    require_release(environment, release)
    if environment.debugger:
        from plugin_runtime.debugger import wait_for_debugger  # nobody else needs one

        wait_for_debugger(environment.debugger, environment.plugin_id)
    # Loading iceoryx2 takes longer than everything else here, and a wrong environment does not need it.
    from plugin_runtime.ports.iceoryx import silence_log

    configure_logging(environment.log_mark, environment.log_filter)
    silence_log(verbose=environment.verbose)
    hello = Hello(
        protocol=PROTOCOL_VERSION,
        runtime=f"malbox-python {release_of('malbox') or 'unknown'}",
        iceoryx2=release or "unknown",
        plugin=name,
        version=version,
        instance=environment.instance,
        extensions=EXTENSIONS,
    )
    with (
        _open_ports(environment, release) as ports,
        ProcessOutside(ports, environment.supervisor_pid) as outside,
    ):
        loop = PluginLoop(plugin, ports, environment, hello)
        try:
            code = loop.run(outside)
        except MalboxError as error:
            report_to_stderr(f"{name}: {error}")
            code = 1
    # Nobody is left to end a process whose last threads do not; and a thread that the interpreter ends inside an
    # extension module can take the process down with it.
    return code, loop.handlers_are_running or outside.supervisor_has_ended


def _debug(plugin: Plugin, environment: PluginEnvironment) -> int:
    from plugin_runtime.debugging import DebugTask, debug  # nobody else needs a debugger

    configure_logging(log_filter=environment.log_filter)
    return debug(plugin, environment, DebugTask.from_text(environment.debug))


def _open_ports(environment: PluginEnvironment, release: str) -> PluginPorts:
    """Open the ports.

    Raises:
        VersionMismatch: The services were made by another release of iceoryx2.
        TransportError: They could not be opened.
    """
    from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts

    uses_credits = environment.supervisor_knows_extensions
    try:
        return IceoryxPluginPorts(
            environment.domain,
            environment.plugin_id,
            uses_credits=uses_credits,
            concurrency=environment.concurrency,
            listeners=environment.listeners,
            sources=[source.id for source in environment.sources],
        )
    except VersionMismatch as error:
        if environment.iceoryx2 and environment.iceoryx2 == release:
            raise TransportError(f"{error}; it is no other release: both use {release}") from error
        raise VersionMismatch(f"{error}; this plugin uses {release or 'a release that is not known'}") from error


def _show_fatal_signals() -> None:
    """Have fatal signals leave a traceback where the plugin's log goes, unless its author has seen to them."""
    if not faulthandler.is_enabled() and all(signal.getsignal(number) is signal.SIG_DFL for number in FATAL_SIGNALS):
        stream = sys.__stderr__  # not sys.stderr, which an author may have sent elsewhere
        with suppress(OSError, ValueError):  # it was closed
            if stream is not None:
                faulthandler.enable(stream)


class ProcessOutside:
    """The supervisor's process, and signals.

    SIGTERM and SIGINT ask the plugin to stop; a second one ends the process. The kernel's word that a signal came is a
    byte in a socket, which ends a wait that had not begun yet as well.

    Args:
        ports: What waits.
        supervisor_pid: The process to watch; None: nobody that we know started us.

    Raises:
        MalboxError: That process is gone already.
    """

    def __init__(self, ports: PluginPorts, supervisor_pid: int | None) -> None:
        self._ports = ports
        self._signals = 0
        self._pidfd = -1
        self.supervisor_has_ended = False
        if supervisor_pid is not None:
            try:
                self._pidfd = os.pidfd_open(supervisor_pid)
            except (OSError, OverflowError):
                raise MalboxError(f"the supervisor (process {supervisor_pid}) is gone") from None
            ports.watch(self._pidfd)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        ports.watch(self._reader.fileno())
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take_signal)

    def stop_asked(self) -> bool:
        """Return whether a signal came."""
        return self._signals > 0

    def supervisor_ended(self) -> bool:
        """Return whether the supervisor's process has ended; this is where the word of signals is taken, too."""
        try:
            while self._reader.recv(256):
                pass
        except BlockingIOError:
            pass
        if self._pidfd >= 0 and not self.supervisor_has_ended and select.select([self._pidfd], [], [], 0)[0]:
            self.supervisor_has_ended = True
            self._ports.unwatch(self._pidfd)  # it stays readable, and would end every wait from now on
        return self.supervisor_has_ended

    def __enter__(self) -> "ProcessOutside":
        return self

    def __exit__(self, *exception: object) -> None:
        # From here on a signal ends the process: what is left to do is not worth waiting for.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for fd in (self._reader.fileno(), self._pidfd):
            self._ports.unwatch(fd)
        self._reader.close()
        self._writer.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _take_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signals += 1
        if self._signals > 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _leave(code: int, *, at_once: bool) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
    if at_once:
        os._exit(code)
    sys.exit(code)
