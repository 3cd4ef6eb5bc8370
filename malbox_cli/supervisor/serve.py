"""`up`: run a manifest's plugins until told to stop, and do what commands ask over the control socket."""

import os
import shlex
from collections.abc import Sequence

from malbox_cli.control.records import Record
from malbox_cli.manifest.debugged import SWITCHED_OFF, Debugging
from malbox_cli.manifest.specs import Manifest, PluginSpec
from malbox_cli.store.log_file import log_folder
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.events import StartAsked, StopAsked
from malbox_cli.supervisor.log_hub import LogHub
from malbox_cli.supervisor.ownership import Owner, Ownership
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.service import Service
from malbox_cli.supervisor.service_report import ServiceReport
from malbox_cli.supervisor.session import Session, open_session
from malbox_cli.supervisor.systemd import Systemd
from malbox_cli.supervisor.verdict import ExitOn, Verdict, reason_to_exit, verdict

__all__ = ["serve"]


def serve(
    manifest: Manifest,
    plugins: Sequence[PluginSpec],
    console: Console,
    *,
    chosen: Sequence[str] = (),
    exit_on: ExitOn | None = None,
    debugging: Debugging | None = None,
    verbose: bool,
) -> Verdict:
    """Run the plugins until a signal or a command stops them, or until they end by themselves; return how that was.

    Args:
        manifest: Whose plugins these are.
        plugins: Which to run.
        console: Where the operator is told things.
        chosen: The ids that were named to choose these plugins; none for all of the manifest.
        exit_on: When to stop because plugins ended; None: once none of them runs any more.
        debugging: Which of them is debugged, as `plugins` has it already; None for none.
        verbose: Whether iceoryx2's log lines are wanted.

    Raises:
        AlreadySupervised: Another supervisor has this manifest.
        MalboxError: The supervisor could not be put together.
    """
    ownership = Ownership.take(manifest.state_dir, manifest.path)
    log = LogHub(console, log_folder(manifest.state_dir))
    systemd = Systemd.of_environment(log.say)
    try:
        service: list[Service] = []

        def emit(client: int, record: Record) -> None:
            service[0].emit(client, record)

        with open_session(
            manifest, plugins, domain=manifest.domain, log=log, emit=emit, kind="up", verbose=verbose
        ) as session:
            service.append(Service(session, chosen, debugging))
            if systemd.is_there:
                report = ServiceReport(systemd, session.machine)
                session.reactor.beat, service[0].on_reload = report.turn, report.reloading
            try:
                ownership.announce(Owner(os.getpid(), str(session.folder.socket), str(manifest.path)))
                session.log.say("info", f"supervising {manifest.path} (process {os.getpid()})")
                if debugging is not None:
                    session.log.say("info", f"{debugging.plugin} is debugged: {SWITCHED_OFF} are off for it")
                ended_by_itself = _run(session, exit_on)
            finally:
                service[0].close()
            end = verdict(session.machine.to_judge, signal=session.signals.first, ended_by_itself=ended_by_itself)
        if end.culprit:
            log.say("error", end.culprit)
        return end
    finally:
        systemd.close()
        log.close()
        ownership.release()


def _run(session: Session, exit_on: ExitOn | None) -> bool:
    """Run until the end; return whether the supervisor ended because of its plugins."""
    reactor, machine = session.reactor, session.machine
    ended_by_itself = False

    def is_over() -> bool:
        nonlocal ended_by_itself
        if not machine.is_stopping and (why := reason_to_exit(machine.plugins, exit_on)) is not None:
            ended_by_itself = True
            reactor.handle(StopAsked(why))
        return machine.has_ended

    reactor.handle(StartAsked())
    reactor.run_until(lambda: is_over() or _all_ready(session))
    if not machine.is_stopping:
        send = shlex.join(["malbox", "send-task", "-f", str(session.manifest.path), machine.plugins[0].spec.pool])
        session.log.say("info", f"every plugin is READY; try `{send} SAMPLE`; Ctrl-C stops")
    reactor.run_until(is_over)
    reactor.settle()
    return ended_by_itself


def _all_ready(session: Session) -> bool:
    return all(plugin.state is PluginState.READY for plugin in session.machine.plugins)
