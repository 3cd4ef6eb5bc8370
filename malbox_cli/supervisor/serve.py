"""`up`: run a manifest's plugins until told to stop, and do what commands ask over the control socket."""

import os
import shlex
from collections.abc import Sequence

from malbox_cli.control.messages import Canceling, Request, StatusAsked, Stopping, Submitting, encode
from malbox_cli.control.records import Record, to_line
from malbox_cli.control.server import ControlServer
from malbox_cli.manifest.specs import Manifest, PluginSpec
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.events import CancelAsked, ClientLeft, StartAsked, StopAsked, Submit
from malbox_cli.supervisor.ownership import Owner, Ownership
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.service_report import ServiceReport
from malbox_cli.supervisor.session import Session, open_session
from malbox_cli.supervisor.systemd import Systemd

__all__ = ["serve"]


def serve(manifest: Manifest, plugins: Sequence[PluginSpec], console: Console, *, verbose: bool) -> int:
    """Run the plugins until a signal or a command stops them, or none of them runs any more; return the exit code.

    Raises:
        AlreadySupervised: Another supervisor has this manifest.
        MalboxError: The supervisor could not be put together.
    """
    ownership = Ownership.take(manifest.state_dir, manifest.path)
    systemd = Systemd.of_environment(console.say)
    try:
        server: list[ControlServer] = []

        def emit(client: int, record: Record) -> None:
            server[0].send(client, to_line(record))

        with open_session(
            manifest, plugins, domain=manifest.domain, console=console, emit=emit, verbose=verbose
        ) as session:
            server.append(_control_server(session, server))
            if systemd.is_there:
                session.reactor.beat = ServiceReport(systemd, session.machine).turn
            try:
                ownership.announce(Owner(os.getpid(), str(session.folder.socket)))
                console.say("info", f"supervising {manifest.path} (process {os.getpid()})")
                session.reactor.handle(StartAsked())
                session.reactor.run_until(lambda: _all_ready(session) or _is_over(session))
                if not session.machine.has_ended:
                    send = shlex.join(["malbox", "send-task", "-f", str(manifest.path), plugins[0].id])
                    console.say("info", f"every plugin is READY; try `{send} SAMPLE`; Ctrl-C stops")
                session.reactor.run_until(lambda: _is_over(session))
            finally:
                server[0].close()
            return _exit_code(session)
    finally:
        systemd.close()
        ownership.release()


def _control_server(session: Session, server: list[ControlServer]) -> ControlServer:
    handle = session.reactor.handle

    def take(client: int, request: Request) -> None:
        match request:
            case Submitting():
                handle(Submit(client, request.plugin, request.sample, request.config, request.timeout))
            case Canceling():
                handle(CancelAsked(request.task))
            case StatusAsked():
                server[0].send(client, encode(session.status()))
            case Stopping():
                handle(StopAsked("`malbox down`"))

    return ControlServer(
        session.folder.socket,
        session.poller,
        take,
        lambda client: handle(ClientLeft(client)),
        lambda text: session.console.say("warning", text),
    )


def _all_ready(session: Session) -> bool:
    return all(plugin.state is PluginState.READY for plugin in session.machine.plugins)


def _is_over(session: Session) -> bool:
    if session.machine.nothing_runs and not session.machine.is_stopping:
        session.reactor.handle(StopAsked("no plugin runs any more"))
    return session.machine.has_ended


def _exit_code(session: Session) -> int:
    if session.signals.first is not None:
        return 128 + session.signals.first
    failed = [plugin for plugin in session.machine.plugins if plugin.state is PluginState.FAILED]
    for plugin in failed:
        session.console.say("error", f"plugin {plugin.id} FAILED: {plugin.reason}")
    return 1 if failed else 0
