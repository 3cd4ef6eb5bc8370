"""Runs smoke tests against real processes: a supervisor of their own, in a folder that goes when they are done."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from malbox_cli.control.records import Ended, Outcome, Record, Refused, Result
from malbox_cli.manifest.specs import Manifest, PluginSpec, SmokeTest
from malbox_cli.smoke.judge import Got, Judgement, judge, needs_data_of
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.events import Submit
from malbox_cli.supervisor.one_shot import Ending, run_tasks

__all__ = ["run_smoke"]


@dataclass(slots=True)
class Running:
    """A test, and what has come of its task.

    Attributes:
        test: The test.
        got: The results of the last attempt.
        attempt: Which that is.
    """

    test: SmokeTest
    got: list[Got] = field(default_factory=list)
    attempt: int = 1

    def take(self, record: Result) -> None:
        """Take a result; those of an attempt before are void."""
        if record.attempt != self.attempt:
            self.attempt = record.attempt
            self.got.clear()
        data = record.data
        if record.format == "json" and data is None and record.path and needs_data_of(self.test, record.name):
            data = Path(record.path).read_text(encoding="utf-8")
        self.got.append(Got(record.name, record.format, data if needs_data_of(self.test, record.name) else None))


def run_smoke(
    manifest: Manifest,
    tests: Sequence[SmokeTest],
    plugins: Sequence[PluginSpec],
    console: Console,
    on_judgement: Callable[[Judgement], None],
    *,
    verbose: bool,
) -> tuple[list[Judgement], Ending]:
    """Run smoke tests, and return what became of each, in their order, and how the plugins ended.

    Nothing of it is in the manifest's state folder, and a supervisor that runs there is left alone.

    Args:
        manifest: Whose tests these are.
        tests: Which to run.
        plugins: Which plugins to start for them.
        console: Where the operator is told things.
        on_judgement: Takes what became of each test as soon as it is known.
        verbose: Whether iceoryx2's log lines are wanted.

    Raises:
        MalboxError: The supervisor could not be put together.
    """
    judged: dict[int, Judgement] = {}
    held_back: dict[int, Judgement] = {}  # until it is known whether the plugin was started at all
    running = {number: Running(test) for number, test in enumerate(tests)}

    def end(number: int, judgement: Judgement) -> None:
        judged[number] = judgement
        on_judgement(judgement)

    def emit(number: int, record: Record) -> None:
        if isinstance(record, Result):
            running[number].take(record)
        elif isinstance(record, Ended | Refused):
            one = running.pop(number)
            judgement = judge(one.test, one.got, record)
            if one.test.outcome != Outcome.COMPLETED.value and judgement.passed:
                held_back[number] = judgement
            else:
                end(number, judgement)

    with tempfile.TemporaryDirectory(prefix="malbox-smoke-") as folder:

        def submissions() -> Iterator[Submit]:
            for number, test in enumerate(tests):
                sample = _sample(test, Path(folder) / f"{number}")
                if (fault := _fault(sample)) is None:
                    yield Submit(number, test.plugin, str(sample), test.config, test.timeout, waits=True)
                else:
                    end(number, Judgement(test, (fault,), Outcome.FAILED.value))

        apart = replace(manifest, state_dir=Path(folder) / "state")
        ending = run_tasks(apart, plugins, submissions(), console, emit, verbose=verbose)
    for number, judgement in held_back.items():
        was_started = judgement.test.plugin in ending.were_ready
        end(number, judgement if was_started else replace(judgement, failures=("the plugin was never READY",)))
    for number, test in enumerate(tests):
        if number not in judged:
            end(number, judge(test, (), None))
    return [judged[number] for number in range(len(tests))], ending


def _sample(test: SmokeTest, folder: Path) -> Path:
    """Return the sample's path; write it there first where its content is in the manifest."""
    if test.sample is not None:
        return test.sample
    folder.mkdir()
    path = folder / "sample"
    path.write_bytes(test.data or b"")
    return path


def _fault(sample: Path) -> str | None:
    """Return why a sample cannot be read, None if it can: no task is to fail for it, where one is expected to."""
    if not sample.is_file():
        return f"there is no sample {sample}"
    return None if os.access(sample, os.R_OK) else f"cannot read the sample {sample}: Permission denied"
