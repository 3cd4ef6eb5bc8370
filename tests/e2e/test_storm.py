"""A storm: eight plugins die in every way at random moments while tasks flow, and everything still adds up.

The long form, with its figures: ``MALBOX_STORM_ROUNDS=500 pytest -s tests/e2e/test_storm.py``. A storm that failed is
repeated, as far as that can be, with the seed that it printed: ``MALBOX_STORM_SEED``.
"""

import os
import random
import re
import secrets
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from e2e_harness import PLUGINS, SHARED_MEMORY, Place, eventually
from storm_rig import KINDS, News, Senders, Storm

from malbox_cli.control.client import ControlClient
from malbox_cli.control.records import Outcome
from malbox_cli.supervisor.ownership import Owner, find_owner
from malbox_cli.supervisor.run_folder import nonce_of, prefix_of_runs
from malbox_cli.supervisor.strays import mark_of, nonce_in

ROUNDS = int(os.environ.get("MALBOX_STORM_ROUNDS", "30"))
SEED = os.environ.get("MALBOX_STORM_SEED") or secrets.token_hex(4)
SENDERS = 6
PART = 50
"""After so many rounds it is waited until all plugins are READY, and the supervisor's memory is looked at."""
NAMES = [f"s{number}" for number in range(8)]
MEMORY_BOUND = 16 << 20
"""How much more the supervisor may have afterwards than once everything had happened for the first time."""


@dataclass(frozen=True)
class Belongings:
    """What a run has.

    Attributes:
        descriptors: The supervisor's, by what they are of.
        threads: The supervisor's.
        processes: All that are alive, by what they run.
        zombies: The supervisor's children that ended and were not reaped.
        files: In the run's folder.
        memory: Files in shared memory.
    """

    descriptors: Counter[str]
    threads: int
    processes: Counter[str]
    zombies: int
    files: int
    memory: int

    @classmethod
    def of(cls, place: Place, supervisor: int, nonce: int) -> "Belongings":
        """Return what it has now."""
        descriptors = Counter(_descriptors(supervisor))
        zombies, processes = 0, Counter[str]()
        ours = {process.pid for process in place.processes()}
        for process in psutil.process_iter():
            if process.pid in ours or nonce_in(mark_of(process.pid)) == nonce:
                try:
                    if process.status() == psutil.STATUS_ZOMBIE:
                        zombies += 1
                    else:
                        processes[" ".join(process.cmdline())] += 1
                except psutil.NoSuchProcess:
                    continue
        zombies += sum(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process(supervisor).children())
        prefix = prefix_of_runs(place.runtime)
        memory = sum(path.name.startswith(prefix) for path in SHARED_MEMORY.iterdir())
        threads = psutil.Process(supervisor).num_threads()
        return cls(descriptors, threads, processes, zombies, len(place.files()), memory)


def _descriptors(pid: int) -> list[str]:
    """Return what a process has open, without the numbers in its names."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        found.append(re.sub(r"[0-9a-f]*[0-9][0-9a-f_]*", "*", target))
    return found


@pytest.mark.timeout(90 + 4 * ROUNDS)
def test_a_storm_leaves_everything_as_it_was(place: Place) -> None:
    say(f"\nseed {SEED}, {ROUNDS} rounds")
    manifest = place.manifest(
        **{
            name: {"path": str(PLUGINS / "storms"), "restart": "always" if number % 2 else "on-failure", "retries": 0}
            for number, name in enumerate(NAMES)
        }
    )
    finished = place.folder / "finished"
    up = place.start_up(manifest, "--exit-on", "never")
    owner = find_owner(place.folder / ".malbox")
    assert owner is not None
    nonce = nonce_of(Path(owner.socket).parent)
    assert nonce is not None
    rng = random.Random(SEED)
    senders = Senders(owner, NAMES, place.sample(), finished, SEED)
    _one_task_each(owner, senders)
    at_first = _settled(place, up.pid, nonce)
    news = News()
    storm = Storm(owner, NAMES, senders, news, rng)
    memory: list[int] = []

    kinds = list(KINDS)
    left = rng.choices(kinds, k=max(0, ROUNDS - len(kinds)))
    parts = [rng.sample(kinds, len(kinds)), *(left[at : at + PART] for at in range(0, len(left), PART))]
    with news.watching(owner), senders.sending(SENDERS):
        for part in parts:
            storm.rage(part)
            memory.append(psutil.Process(up.pid).memory_info().rss)
    _one_task_each(owner, senders)
    _tell(storm, senders, memory)

    _tasks_add_up(place, manifest, senders, finished)
    _restarts_add_up(place, manifest, storm)
    _nothing_was_left_meanwhile(place, up.pid, nonce, at_first)
    assert memory[-1] <= memory[0] + MEMORY_BOUND, memory
    assert up.err.count("killed 50 processes that it had left") == storm.suffered["fifty forks"]
    assert up.err.count("killed a process that it had left") == storm.suffered["an escaped grandchild"]

    assert place.malbox("down", "-f", manifest).code == 0
    done = up.wait(20)
    assert done.code == 1
    assert re.search(r"plugin s[0-7] was killed by SIG", done.err.splitlines()[-1]), done.err[-2000:]
    place.assert_nothing_left()


def say(text: str) -> None:
    """Print a figure; pytest shows it with ``-s``, or where the test fails."""
    sys.stdout.write(f"{text}\n")


def _one_task_each(owner: Owner, senders: Senders) -> None:
    """Have each plugin do a task; with it the supervisor lets go of what it had of the process before."""
    with ControlClient(owner) as client:
        for name in NAMES:
            assert senders.send(client, name, {}).outcome is Outcome.COMPLETED


def _tell(storm: Storm, senders: Senders, memory: list[int]) -> None:
    ends = Counter("refused" if sent.outcome is None else sent.outcome.value for sent in senders.sent)
    say(f"suffered: {dict(storm.suffered)}, {storm.starting} before READY")
    say(f"deaths {storm.deaths.total()}, of which {storm.starts.total()} were one too many; tasks {dict(ends)}")
    say(f"memory of the supervisor in MiB: {' '.join(f'{size / (1 << 20):.1f}' for size in memory)}")


def _tasks_add_up(place: Place, manifest: Path, senders: Senders, finished: Path) -> None:
    """Every task has one end, none is called completed that was not, and the supervisor counted the same."""
    done = Counter(finished.read_text().split())
    assert max(done.values()) == 1
    completed = {sent.word for sent in senders.sent if sent.outcome is Outcome.COMPLETED}
    assert completed <= done.keys(), completed - done.keys()
    for plugin in place.status(manifest)["plugins"]:
        ends = Counter(sent.outcome for sent in senders.sent if sent.plugin == plugin["id"])
        assert plugin["tasks"] == {
            "queued": 0,
            "running": 0,
            "completed": ends[Outcome.COMPLETED],
            "failed": ends[Outcome.FAILED],
            "canceled": 0,
        }


def _restarts_add_up(place: Place, manifest: Path, storm: Storm) -> None:
    """Each death counts as a restart but for those after which the plugin FAILED and was started by name."""
    for plugin in place.status(manifest)["plugins"]:
        assert plugin["state"] == "READY"
        assert plugin["restarts"] == storm.deaths[plugin["id"]] - storm.starts[plugin["id"]], plugin


def _settled(place: Place, supervisor: int, nonce: int) -> Belongings:
    """Return what a run has that has nothing to do, once no connection of ours is left."""
    seen: list[Belongings] = []

    def is_settled() -> bool:
        seen.append(Belongings.of(place, supervisor, nonce))
        return len(seen) > 1 and seen[-1] == seen[-2]

    eventually(is_settled, "two looks see the same")
    return seen[-1]


def _nothing_was_left_meanwhile(place: Place, supervisor: int, nonce: int, at_first: Belongings) -> None:
    """While the supervisor still runs, it has what it had when all plugins had done their first task."""
    seen = [at_first]

    def is_as_before() -> bool:
        seen.append(Belongings.of(place, supervisor, nonce))
        return seen[-1] == at_first

    try:
        eventually(is_as_before, "everything is as it was")
    except AssertionError as error:
        more, less = seen[-1].descriptors - at_first.descriptors, at_first.descriptors - seen[-1].descriptors
        raise AssertionError(
            f"{error}; descriptors more: {more}, less: {less}; all: {seen[-1]} not {at_first}"
        ) from None
