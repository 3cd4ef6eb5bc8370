"""Puts a supervisor together, and takes it apart again whatever happened in between."""

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from malbox_cli.control.messages import PluginStatus, SupervisorStatus
from malbox_cli.control.news import PluginNews
from malbox_cli.control.records import Record
from malbox_cli.manifest.specs import Manifest, PluginSpec
from malbox_cli.store.ledger import Ledger, NoLedger
from malbox_cli.store.ledger_sessions import Kind
from malbox_cli.store.objects import SAMPLES
from malbox_cli.store.results import ResultWriter
from malbox_cli.store.samples import SampleReader
from malbox_cli.supervisor.artifact_folders import ArtifactFolders
from malbox_cli.supervisor.cgroups import control_groups
from malbox_cli.supervisor.children import Children
from malbox_cli.supervisor.clock import Clock
from malbox_cli.supervisor.descriptors import room_for_descriptors
from malbox_cli.supervisor.events import KillAsked, StopAsked
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.heartbeat_slots import HeartbeatSlots
from malbox_cli.supervisor.job_control import JobControl
from malbox_cli.supervisor.launch import Launcher
from malbox_cli.supervisor.log_hub import LogHub
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.ownership import make_state_folder
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import children_are_kept, subreaper
from malbox_cli.supervisor.reactor import Reactor, Store
from malbox_cli.supervisor.run_folder import RunFolder, RunPlan
from malbox_cli.supervisor.signals import StopSignals
from malbox_cli.supervisor.systemd import forget_systemd
from plugin_runtime.environment import PluginEnvironment, Source
from plugin_runtime.ports.iceoryx import silence_log
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.releases import release_of

__all__ = ["Session", "open_session"]


@dataclass(frozen=True, slots=True)
class Session:
    """A supervisor that is put together and not running yet.

    Attributes:
        manifest: What it runs.
        folder: Its run's folder.
        machine: Who decides.
        reactor: What to run.
        poller: Where descriptors are watched.
        children: The plugins' processes.
        signals: What stops it.
        log: Where the operator is told things, on the terminal and on disk.
        clock: What the machine knows the time from.
        started_at: Seconds of that clock.
    """

    manifest: Manifest
    folder: RunFolder
    machine: Machine
    reactor: Reactor
    poller: Poller
    children: Children
    signals: StopSignals
    log: LogHub
    clock: Clock
    started_at: float

    def status(self) -> SupervisorStatus:
        """Return how everything is now."""
        age = self.clock.age
        domain = self.folder.domain
        return SupervisorStatus(
            pid=os.getpid(),
            uptime=round(age(self.started_at), 3),
            domain="default" if domain.is_default else self.folder.path.name,
            manifest=str(self.manifest.path),
            plugins=tuple(_status_of(plugin, self.machine.queued(plugin), age) for plugin in self.machine.plugins),
        )

    def news(self, plugin: PluginRecord) -> PluginNews:
        """Return how a plugin stands now."""
        now = time.time()
        return PluginNews(
            time=round(now, 3),
            plugin=plugin.id,
            state=plugin.standing.value,
            reason=plugin.reason,
            since=round(now - self.clock.age(plugin.since), 3),
            pid=plugin.pid,
            restarts=plugin.restarts.count,
            last_exit=_last_exit(plugin),
            last_lines=plugin.last_lines if plugin.state is PluginState.FAILED else (),
        )


@contextmanager
def open_session(
    manifest: Manifest,
    plugins: Sequence[PluginSpec],
    *,
    domain: str | None,
    log: LogHub,
    emit: Callable[[int, Record], None],
    kind: Kind,
    verbose: bool,
) -> Iterator[Session]:
    """Put a supervisor together for the length of a block; afterwards no process, folder or shared memory is left.

    Args:
        manifest: Whose plugins to run.
        plugins: Which of them.
        domain: The name of the domain to share memory in; None for one of its own.
        log: Where the operator is told things; whoever made it closes it.
        emit: Takes each record, with the client that it is for.
        kind: Which command it is for: `up` takes up the tasks that one before it left.
        verbose: Whether iceoryx2's log lines are wanted, here and in the plugins.

    Raises:
        MalboxError: It could not be put together; the text says what is in the way.
    """
    silence_log(verbose=verbose)
    forget_systemd(os.environ)
    make_state_folder(manifest.state_dir)
    clock = Clock()
    with closing(Poller()) as poller, closing(StopSignals(poller)) as signals, ExitStack() as stack:
        stack.enter_context(children_are_kept())
        limits = stack.enter_context(room_for_descriptors(len(plugins)))
        plan = RunPlan.of(manifest.path, domain)
        guard = Guard(plan.path, plan.domain.prefix, plan.nonce)
        stack.callback(guard.done)
        folder = plan.make()
        stack.callback(folder.remove)
        guard.locked(folder.lock)
        groups = stack.enter_context(control_groups(plugins, folder.nonce, log.say))
        # It comes up while the ports are made.
        launcher = Launcher(folder.nonce)
        stack.callback(launcher.close)
        stack.enter_context(subreaper())

        artifacts = ArtifactFolders(manifest.state_dir)
        stack.callback(artifacts.close)
        slots, release = HeartbeatSlots(), release_of("iceoryx2")

        def variables(spec: PluginSpec, instance: str) -> Mapping[str, str]:
            return PluginEnvironment(
                plugin_id=spec.id,
                supervisor_pid=os.getpid(),
                instance=instance,
                domain=folder.domain,
                config=spec.config,
                file_ref_threshold=spec.stash_threshold,
                iceoryx2=release,
                debugger=spec.debugger,
                heartbeat=spec.heartbeat,
                heartbeat_slot=0 if spec.heartbeat is None else slots.take(spec.id),
                concurrency=spec.concurrency,
                verbose=verbose,
                log_mark=secrets.token_hex(8),
                log_filter=spec.log_filter,
                artifacts=artifacts.of(instance),
                collect=spec.collect,
                listeners=spec.listeners,
                sources=tuple(Source(source.id, source.plugin, source.slot) for source in spec.sources),
            ).variables()

        state_dir = manifest.state_dir
        copies = state_dir / SAMPLES if manifest.copy_samples else None

        def store(reactor: Reactor) -> Store:
            ledger = Ledger.open(state_dir, kind, reactor.post) if manifest.ledger else NoLedger(reactor.post)
            return ledger, ResultWriter(state_dir, reactor.post), SampleReader(reactor.post, copies)

        signals.check()
        ports = stack.enter_context(IceoryxSupervisorPorts(folder.domain))
        machine = Machine(
            plugins, stop_timeout=manifest.stop_timeout, jitter=random.random, keeps_tasks=manifest.ledger
        )
        pump = OutputPump(poller, log.printed)
        children = Children(poller, guard, launcher, folder.nonce, variables, pump, limits, log.say, groups)
        children.on_gone = artifacts.remove
        reactor = Reactor(machine, plugins, ports, poller, children, pump, store, emit, log.say, slots, clock)
        stack.callback(reactor.close)
        job_control = JobControl(children, clock)
        stack.callback(job_control.close)
        signals.listen(
            lambda name: reactor.post(StopAsked(f"{name} (once more to kill)")),
            lambda: reactor.post(KillAsked()),
            job_control.look,
        )
        stack.callback(signals.deafen)
        yield Session(manifest, folder, machine, reactor, poller, children, signals, log, clock, clock.now())


def _status_of(plugin: PluginRecord, queued: int, age: Callable[[float], float]) -> PluginStatus:
    counts = plugin.counts
    return PluginStatus(
        id=plugin.id,
        name=plugin.spec.name,
        version=plugin.version,
        state=plugin.standing.value,
        reason=plugin.reason,
        pid=plugin.pid,
        uptime=None if plugin.pid is None or plugin.spawned_at is None else round(age(plugin.spawned_at), 3),
        restarts=plugin.restarts.count,
        last_exit=_last_exit(plugin),
        ready_at=None if plugin.ready_at is None else round(time.time() - age(plugin.ready_at), 3),
        tasks={
            "queued": queued,
            "running": len(plugin.running),
            "completed": counts.completed,
            "failed": counts.failed,
            "canceled": counts.canceled,
        },
        iceoryx2=plugin.hello.iceoryx2 if plugin.hello else None,
    )


def _last_exit(plugin: PluginRecord) -> dict[str, int | None] | None:
    status = plugin.last_exit
    return None if status is None else {"code": status.code, "signal": status.signal}
