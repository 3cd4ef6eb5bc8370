"""`kill -9` of the supervisor at random moments: nothing is left within two seconds, and the next start works.

Sometimes its guardian or its launcher is killed with it; without a guardian it is the next start that removes the rest.
The long form, with its figures: ``MALBOX_KILL_ROUNDS=100 pytest -s tests/e2e/test_killed_at_random.py``. What failed is
repeated, as far as that can be, with the seed that it printed: ``MALBOX_KILL_SEED``.
"""

import os
import random
import secrets
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from e2e_harness import PLUGINS, Place, Running, eventually

from malbox_cli.control.client import ControlClient, SupervisorLost
from malbox_cli.control.messages import Submitting
from malbox_cli.control.records import Ended
from malbox_cli.supervisor.ownership import find_owner

ROUNDS = int(os.environ.get("MALBOX_KILL_ROUNDS", "6"))
SEED = os.environ.get("MALBOX_KILL_SEED") or secrets.token_hex(4)
MOST_SECONDS = 1.5
NAMES = ("a", "b", "c")
HELPERS = ((), (), ("guardian",), ("launcher",), ("guardian", "launcher"))
"""Who is killed together with the supervisor."""
LEFT = ("", "", "escaped", "forks")
"""What a task leaves running."""


@dataclass
class Figures:
    """Seconds: until nothing was left, until the next start was READY, and a start where nothing had been killed."""

    gone: list[float] = field(default_factory=list)
    next_ready: list[float] = field(default_factory=list)
    cold_ready: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        rows = {"nothing is left": self.gone, "the next is READY": self.next_ready, "a cold start": self.cold_ready}
        return "\n".join(
            f"{name}: {len(seconds)} times, median {statistics.median(seconds):.3f} s, "
            f"p99 {sorted(seconds)[int(0.99 * len(seconds))]:.3f} s, most {max(seconds):.3f} s"
            for name, seconds in rows.items()
            if seconds
        )


@dataclass(frozen=True)
class Round:
    """What is done to one supervisor.

    Attributes:
        delay: When it is killed, in seconds from its start.
        helpers: Who is killed with it.
        works: Whether it has tasks.
        waits: Whether the next one is started only when nothing is left.
        is_named: Whether both are in a domain of the same name.
    """

    delay: float
    helpers: tuple[str, ...]
    works: bool
    waits: bool
    is_named: bool

    @classmethod
    def draw(cls, rng: random.Random, number: int) -> "Round":
        """Return a random one; those that follow each other differ in what matters."""
        helpers = HELPERS[number % len(HELPERS)]
        return cls(
            delay=rng.uniform(0, MOST_SECONDS),
            helpers=helpers,
            works=number % 2 == 0,
            waits=rng.random() < 0.7,
            is_named=rng.random() < 0.3,
        )


@pytest.mark.timeout(60 + 12 * ROUNDS)
def test_nothing_is_left_whenever_the_supervisor_is_killed(place: Place) -> None:
    say(f"\nseed {SEED}, {ROUNDS} rounds")
    place.orphans_are_fine = True
    own = place.manifest(**{name: {"path": str(PLUGINS / "storms")} for name in NAMES}, stop_timeout="1s")
    named = place.write_manifest(own.read_text().replace("[malbox]", '[malbox]\ndomain = "lab"'), "named.toml")
    place.sample()
    rng = random.Random(SEED)
    figures = Figures()
    for number in range(ROUNDS):
        one = Round.draw(rng, number)
        manifest = named if one.is_named else own
        try:
            _kill_and_start_again(place, manifest, one, rng, figures)
        except BaseException:
            say(f"in round {number}: {one}")
            raise
        if ROUNDS >= 20:  # so many that figures say something
            figures.cold_ready.append(_start_and_stop(place, manifest))
    say(str(figures))


def _kill_and_start_again(place: Place, manifest: Path, one: Round, rng: random.Random, figures: Figures) -> None:
    up = place.start("up", "-f", manifest)
    with _tasks(manifest, rng) if one.works else nullcontext():
        time.sleep(max(0.0, one.delay - (time.monotonic() - up.started_at)))  # the moment is what is random here
        plugins, killed_at = _kill(up, one.helpers)
    if "guardian" in one.helpers:
        eventually(lambda: not any(lives(plugin) for plugin in plugins), "the plugins end with their supervisor")
    elif one.waits:
        eventually(lambda: not place.leftovers(), "nothing is left")
        figures.gone.append(time.monotonic() - killed_at)
    before = place.processes()
    figures.next_ready.append(_start_and_stop(place, manifest))
    eventually(lambda: not any(lives(process) for process in before), "the first one's processes have ended")
    place.assert_nothing_left()


def _kill(up: Running, helpers: tuple[str, ...]) -> tuple[list[psutil.Process], float]:
    """Kill a supervisor and those of its helpers that are there, all in one moment; return its plugins, and when."""
    supervisor = psutil.Process(up.pid)
    supervisor.suspend()
    children = supervisor.children()
    plugins, victims = [], [supervisor]
    for child in children:
        with suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if any(f"{name} import main" in command for name in helpers):
                child.suspend()
                victims.append(child)
            elif "storms/main.py" in command:
                plugins.append(child)
    killed_at = time.monotonic()
    for victim in victims:
        victim.kill()
    up.popen.wait()
    return plugins, killed_at


def _start_and_stop(place: Place, manifest: Path) -> float:
    """Start a supervisor, have each plugin do a task, and stop it; return the seconds until all were READY."""
    up = place.start_up(manifest)
    seconds = time.monotonic() - up.started_at
    for name in NAMES:
        assert any(isinstance(record, Ended) and record.error is None for record in _send(manifest, name, ""))
    assert place.malbox("down", "-f", manifest).code == 0
    assert up.wait(20).code == 0
    return seconds


def _send(manifest: Path, plugin: str, leaves: str) -> list[object]:
    """Send a task and return its records; none where there is no supervisor, or it ends."""
    owner = find_owner(manifest.parent / ".malbox")
    if owner is None:
        return []
    config = {"word": "-", "finished": str(manifest.parent / "finished"), "leaves": leaves, "seconds": "0.01"}
    with suppress(SupervisorLost), ControlClient(owner) as client:
        return list(client.submit(Submitting(plugin, str(manifest.parent / "sample"), config)))
    return []


@contextmanager
def _tasks(manifest: Path, rng: random.Random) -> Iterator[None]:
    """Have tasks flow during a block, as soon as there is somebody to send them to."""
    stop = threading.Event()
    seed = rng.random()

    def flow(name: str) -> None:
        draw = random.Random(f"{seed} {name}")
        while not stop.wait(0.02):
            _send(manifest, name, draw.choice(LEFT))

    threads = [threading.Thread(target=flow, args=(name,), name=f"tasks-{name}") for name in NAMES]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def lives(process: psutil.Process) -> bool:
    """Return whether a process has not ended."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def say(text: str) -> None:
    """Print a figure; pytest shows it with ``-s``, or where the test fails."""
    sys.stdout.write(f"{text}\n")
