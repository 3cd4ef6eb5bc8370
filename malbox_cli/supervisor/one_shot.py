"""`run`: start plugins, give every sample to every one of them, and stop them; nothing else has to be running."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from malbox_cli.control.records import Ended, Outcome, Record, Refused
from malbox_cli.manifest.specs import Manifest, PluginSpec
from malbox_cli.store.log_file import log_folder
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.events import StartAsked, StopAsked, Submit
from malbox_cli.supervisor.log_hub import LogHub
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.sample_events import SampleEvents
from malbox_cli.supervisor.session import open_session
from malbox_cli.supervisor.verdict import verdict

__all__ = ["Ending", "run_once", "run_tasks"]

MAX_OUTSTANDING = 256
"""How many tasks there are at a time; a set of samples can be large."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended.

    Attributes:
        code: The exit code by what became of the plugins: 128 + n after signal n; what became of tasks is not in it.
        was_interrupted: Whether a signal ended it.
        were_ready: The names of the plugins of which a process was READY when a task ended, or in the end.
    """

    code: int
    was_interrupted: bool
    were_ready: frozenset[str]


def run_once(
    manifest: Manifest,
    plugins: Sequence[PluginSpec],
    samples: Sequence[str],
    console: Console,
    on_record: Callable[[Record], None],
    *,
    given: Sequence[PluginSpec],
    config: Mapping[str, str],
    timeout: float | None,
    verbose: bool,
) -> int:
    """Give samples to plugins, and return the exit code: 0, 1 if anything failed, or 128 + n after signal n.

    Args:
        manifest: Whose plugins these are.
        plugins: Which to start.
        samples: Absolute paths.
        console: Where the operator is told things.
        on_record: Takes the records of all tasks as they come.
        given: Which of them get every sample; the others are there because these come after them.
        config: What is set on top of each plugin's configuration.
        timeout: Seconds for each task; None for what the plugin's settings say.
        verbose: Whether iceoryx2's log lines are wanted.

    Raises:
        MalboxError: The supervisor could not be put together.
    """
    pools = dict.fromkeys(spec.pool for spec in given)
    submissions = (
        Submit(number, pool, sample, config, timeout, waits=True)
        for number, sample in enumerate(samples, 1)
        for pool in pools
    )
    all_well = True
    outcomes: set[Outcome] = set()

    def emit(client: int, record: Record) -> None:
        nonlocal all_well
        del client
        on_record(record)
        if isinstance(record, Ended | Refused):
            all_well &= isinstance(record, Ended) and record.outcome is Outcome.COMPLETED
            if isinstance(record, Ended):
                outcomes.add(record.outcome)

    sample_events = SampleEvents(len(samples), len(pools))
    end = run_tasks(manifest, plugins, submissions, console, emit, sample_events=sample_events, verbose=verbose)
    if all_well or end.was_interrupted:
        return end.code
    return 124 if outcomes <= {Outcome.COMPLETED, Outcome.TIMEOUT} and Outcome.TIMEOUT in outcomes else 1


def run_tasks(
    manifest: Manifest,
    plugins: Sequence[PluginSpec],
    submissions: Iterator[Submit],
    console: Console,
    emit: Callable[[int, Record], None],
    *,
    sample_events: SampleEvents | None = None,
    verbose: bool,
) -> Ending:
    """Start plugins, have tasks done, and stop the plugins.

    Args:
        manifest: Whose plugins these are.
        plugins: Which to start.
        submissions: The tasks; those that a signal comes before are not begun.
        console: Where the operator is told things.
        emit: Takes the records of all tasks as they come, with the client that each was submitted for.
        sample_events: Says what the plugins are told of the samples, where the clients are the samples' numbers.
        verbose: Whether iceoryx2's log lines are wanted.

    Raises:
        MalboxError: The supervisor could not be put together.
    """
    outstanding = begun = 0
    ended = False

    def count(client: int, record: Record) -> None:
        nonlocal outstanding, ended
        emit(client, record)
        if isinstance(record, Ended | Refused):
            outstanding -= 1
            ended = True
            if sample_events is not None:
                sample_events.task_ended(client)

    with closing(LogHub(console, log_folder(manifest.state_dir))) as log:
        with open_session(manifest, plugins, domain=None, log=log, emit=count, kind="run", verbose=verbose) as session:
            reactor, machine = session.reactor, session.machine
            reactor.handle(StartAsked())

            were_ready: set[str] = set()

            def is_over() -> bool:
                nonlocal outstanding, begun, ended
                if ended:
                    ended = False
                    were_ready.update(_ready(machine.plugins))
                while outstanding < MAX_OUTSTANDING and not machine.is_stopping:
                    submission = next(submissions, None)
                    if submission is None:
                        break
                    outstanding += 1
                    begun += 1
                    if sample_events is not None:
                        sample_events.task_begun(submission.client)
                    reactor.handle(submission)
                if sample_events is not None:
                    for message in sample_events.due(all_are_up=all(map(_is_up, machine.plugins))):
                        reactor.announce(message)
                if not outstanding and not machine.is_stopping:
                    reactor.handle(StopAsked("every sample is done"))
                return machine.has_ended

            reactor.run_until(is_over)
            reactor.settle()
            end = verdict(machine.plugins, signal=session.signals.first, ended_by_itself=False)
            was_interrupted = session.signals.first is not None
            were_ready.update(_ready(machine.plugins))
        if not_begun := sum(1 for _ in submissions):
            log.say("warning", f"{not_begun} of {begun + not_begun} tasks were not begun")
        if end.culprit:
            log.say("error", end.culprit)
    return Ending(end.code, was_interrupted, frozenset(were_ready))


def _ready(plugins: Iterable[PluginRecord]) -> Iterator[str]:
    """Yield the names of the plugins whose process is READY or, if it has ended, was."""
    return (plugin.spec.pool for plugin in plugins if plugin.ready_at is not None)


def _is_up(plugin: PluginRecord) -> bool:
    return plugin.state not in (PluginState.PENDING, PluginState.STARTING)
