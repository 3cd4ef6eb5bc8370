"""A storm over the ledger: plugins are killed all the time and the supervisor now and then, and no task is lost.

The long form, with its figures: ``MALBOX_LEDGER_TASKS=10000 MALBOX_LEDGER_KILLS=20 pytest -s
tests/e2e/test_ledger_storm.py``. What failed is repeated, as far as that can be, with the seed that it printed:
``MALBOX_LEDGER_SEED``.
"""

import os
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e_harness import Place, Running, eventually
from ledger_rig import MAKES, Job, check_results, check_whole, owner_of, reading, rows, submit

from malbox_cli.control.client import ControlClient, SupervisorLost
from malbox_cli.control.messages import Changing, Submitting
from malbox_cli.control.records import Accepted, Refused
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor.ownership import find_owner
from plugin_runtime.errors import MalboxError

TASKS = int(os.environ.get("MALBOX_LEDGER_TASKS", "300"))
KILLS = int(os.environ.get("MALBOX_LEDGER_KILLS", "3"))
SEED = os.environ.get("MALBOX_LEDGER_SEED") or secrets.token_hex(4)
SENDERS = 8
SECONDS_BETWEEN = 0.2
"""From one plugin's death to the next."""
STARTS = 4
"""After so many deaths a plugin is started by name, mostly, so that it need not wait for a minute."""
PLUGINS = {
    "single": {**MAKES, "restart": "always", "queue_size": 25},
    "many": {**MAKES, "restart": "always", "queue_size": 25, "execution": "parallel", "concurrency": 4},
    "twins": {**MAKES, "restart": "always", "queue_size": 25, "instances": 2},
    "fresh": {**MAKES, "restart": "on-failure", "queue_size": 25, "state": "ephemeral", "spare": True},
}
SHARES = (5, 5, 5, 1)
"""How many of the tasks each gets: one has a new process for each, which takes its time."""


def draw_job(rng: random.Random, number: int) -> Job:
    """Return what one task is asked for."""
    sizes = rng.choice([(), (), (20_000,), (20_000, 10), (200_000,)])
    more = {"seconds": f"{rng.uniform(0, 0.02):.4f}"}
    if rng.random() < 0.1:
        more["raises"] = "as it was told to"
    return Job(f"{SEED}-{number}", rng.randrange(4), sizes, more)


@dataclass
class Books:
    """What was asked for and acknowledged, by the numbers of tasks; and how often what happened."""

    jobs: dict[int, tuple[str, Job]] = field(default_factory=dict)
    canceled: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)


class Clients:
    """Send tasks until as many are acknowledged as there are to be."""

    def __init__(self, manifest: Path, samples: Sequence[Path], books: Books) -> None:
        self._manifest = manifest
        self._samples = samples
        self._books = books
        self._numbers = iter(range(TASKS))
        self._lock = threading.Lock()

    def send_all(self) -> None:
        """Return once everything is acknowledged.

        Raises:
            AssertionError: A submission was neither acknowledged nor refused for a while.
        """
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="ledger-sender") as pool:
            for future in [pool.submit(self._send) for _ in range(SENDERS)]:
                future.result()

    def _send(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            rng = random.Random(f"{SEED} {number}")
            [plugin] = rng.choices(list(PLUGINS), SHARES)
            request = Submitting(plugin, str(rng.choice(self._samples)), {}, detach=True, wait=True)
            self._send_until_taken(request, draw_job(rng, number))

    def _send_until_taken(self, request: Submitting, job: Job) -> None:
        request = Submitting(request.plugin, request.sample, job.config, detach=True, wait=True)

        def is_taken() -> bool:
            owner = find_owner(self._manifest.parent / ".malbox")
            try:
                if owner is None:
                    return False
                with ControlClient(owner) as client:
                    answer = submit(client, request)
            except SupervisorLost:
                self._books.counts["submissions whose answer was lost"] += 1
                return False
            if isinstance(answer, Refused):  # its plugin died too often, and is started again
                self._books.counts["submissions refused"] += 1
                return False
            assert isinstance(answer, Accepted)
            with self._lock:
                assert answer.task not in self._books.jobs, "two tasks have one number"
                self._books.jobs[answer.task] = request.plugin, job
            return True

        eventually(is_taken, f"a task for {request.plugin} is taken", 60)


@dataclass
class Killer:
    """Kills one plugin after the other, and sees to it that those that died too often are started again."""

    manifest: Path
    books: Books
    rng: random.Random

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kill during a block."""
        stop = threading.Event()
        thread = threading.Thread(target=self._kill_until, args=(stop,), name="ledger-killer")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def start_those_that_failed(self) -> None:
        """Start what the supervisor does not start any more; nothing where there is no supervisor."""
        with suppress(MalboxError):
            if (owner := find_owner(self.manifest.parent / ".malbox")) is not None:
                with ControlClient(owner) as client:
                    failed = [plugin.id for plugin in client.status().plugins if plugin.state == "FAILED"]
                    if failed:
                        self.books.counts["plugins started again"] += len(failed)
                        client.change(Changing("start", tuple(failed)))

    def _kill_until(self, stop: threading.Event) -> None:
        while not stop.wait(SECONDS_BETWEEN):
            with suppress(MalboxError):  # the supervisor is not there just now
                self._kill_one()
            self.start_those_that_failed()

    def _kill_one(self) -> None:
        if (owner := find_owner(self.manifest.parent / ".malbox")) is None:
            return
        with ControlClient(owner) as client:
            living = [(plugin.id, plugin.pid) for plugin in client.status().plugins if plugin.pid is not None]
            if not living:
                return
            plugin, pid = self.rng.choice(living)
            if self.books.jobs and self.rng.random() < 0.3:
                task = max(self.books.jobs.copy()) - self.rng.randrange(10)  # one of those that are open, probably
                self.books.canceled.add(task)
                client.cancel(task)
            if self.rng.random() < 0.1:
                self.books.counts["plugins restarted on request"] += 1
                client.change(Changing("restart", (plugin,)))
                return
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.books.deaths[plugin] += 1
            if self.books.deaths[plugin] % STARTS == 0 and self.rng.random() < 0.8:
                client.change(Changing("start", (plugin,)))


def supervise(place: Place, manifest: Path) -> Running:
    """Start a supervisor and return it once it answers."""
    running = place.start("up", "-f", manifest, "--exit-on", "never")
    owner_of(manifest)
    return running


@pytest.mark.timeout(120 + TASKS // 10 + 10 * KILLS)
def test_no_task_is_lost_whatever_is_killed(place: Place) -> None:
    say(f"\nseed {SEED}, {TASKS} tasks, {KILLS} supervisors killed")
    place.orphans_are_fine = True
    manifest = place.manifest(**PLUGINS, stop_timeout="2s")
    samples = [place.sample(f"sample {number}".encode(), f"sample-{number}") for number in range(5)]
    books, rng, began = Books(), random.Random(SEED), time.monotonic()
    killer = Killer(manifest, books, rng)
    up = supervise(place, manifest)
    with ThreadPoolExecutor(1, thread_name_prefix="ledger-senders") as pool:
        sending = pool.submit(Clients(manifest, samples, books).send_all)
        with killer.at_work():
            for number in range(1, KILLS + 1):
                enough = TASKS * number // (KILLS + 1)
                patience = 60 + TASKS / 10
                eventually(
                    lambda enough=enough: len(books.jobs) >= enough or sending.done(), f"{enough} are taken", patience
                )
                time.sleep(rng.uniform(0, 0.2))  # the moment is what is random here
                up.popen.kill()
                up.popen.wait()
                if rng.random() < 0.5:  # once more while it takes up what was left, or just before or after
                    up = place.start("up", "-f", manifest, "--exit-on", "never")
                    time.sleep(rng.uniform(0.1, 1))
                    up.popen.kill()
                    up.popen.wait()
                up = supervise(place, manifest)
            sending.result()

    def all_ended() -> bool:
        killer.start_those_that_failed()
        with reading(manifest) as reader:
            counts = reader.counts()
        return not counts[TaskState.QUEUED] + counts[TaskState.RUNNING]

    eventually(all_ended, "every task has ended", 60 + TASKS / 20)
    assert place.malbox("down", "-f", manifest).code == 0
    up.wait(20)
    check_books(place, manifest, books, time.monotonic() - began)


def check_books(place: Place, manifest: Path, books: Books, seconds: float) -> None:
    """Hold the ledger against what was acknowledged, and print the figures."""
    check_whole(place, manifest)
    kept = rows(manifest)
    lost = books.jobs.keys() - kept.keys()
    assert not lost, f"acknowledged, and not in the ledger: {sorted(lost)}"
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    of_word = {job.word: (plugin, job) for plugin, job in books.jobs.values()}
    with reading(manifest) as reader:
        for row in kept.values():
            plugin, job = of_word[row.config["word"]]  # that of a submission whose answer was lost is another's too
            assert (row.plugin, dict(row.config)) == (plugin, job.config)
            assert row.state.is_final, row
            assert row.ended_at is not None, row
            attempts = reader.attempts(row.task)
            assert [each.attempt for each in attempts] == list(range(1, row.attempts + 1)), (row, attempts)
            assert all(each.outcome is not None for each in attempts), (row, attempts)
            outcomes[row.state.value] += 1
            outcomes["attempts"] += row.attempts
            outcomes["lost attempts"] += sum(each.outcome == "lost" for each in attempts)
            if row.state is TaskState.COMPLETED:
                assert "raises" not in job.more, row
                assert attempts[-1].outcome == "completed", (row, attempts)
                assert sum(each.outcome == "completed" for each in attempts) == 1, (row, attempts)
                check_results(reader, row, job)
            else:
                found = reader.results(row.task)
                assert len({each.number for each in found}) == len(found), (row, found)
                assert row.partial == bool(found), (row, found)
                assert row.error, row
                if row.state is TaskState.CANCELED:
                    assert row.task in books.canceled, row
                else:
                    assert row.state is TaskState.FAILED, row
                reasons[kind_of(row.error)] += 1
    say(f"{len(kept)} tasks, {len(books.jobs)} acknowledged, in {seconds:.1f} s: {dict(outcomes)}")
    say(f"failed because: {dict(reasons)}")
    say(f"killed: {dict(books.deaths)}; {dict(books.counts)}")
    assert outcomes["COMPLETED"], "no task was completed"


def kind_of(error: str) -> str:
    """Return what kind of reason a task's error is."""
    for kind in ("as it was told to", "counts as poison", "was not sent", "start-limit", "is FAILED", "on request"):
        if kind in error:
            return kind
    return error


def say(text: str) -> None:
    """Print a figure; pytest shows it with ``-s``, or where the test fails."""
    sys.stdout.write(f"{text}\n")
