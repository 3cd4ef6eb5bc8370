"""A storm over a running supervisor: tasks flow all the time, and one plugin after the other dies in a random way.

It keeps its own books, of what it did and of what it was told, so that the supervisor's can be held against them.
"""

import hashlib
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Changing, Submitting
from malbox_cli.control.news import PluginNews
from malbox_cli.control.records import Accepted, Ended, Outcome, Record, Refused, Result
from malbox_cli.supervisor.ownership import Owner

__all__ = ["KINDS", "News", "Senders", "Sent", "Storm"]

PATIENCE = 60.0
GLANCE_SECONDS = 0.5
"""How long one look at the news lasts; the next one begins with how everything is."""
COMING = ("PENDING", "BACKOFF", "STARTING")
MOST_SECONDS_BETWEEN = 0.15
MOST_SECONDS_OF_GRACE = 0.1
SIZES = ("", "", "", "10", "70000", "10,20,30", "1200000")
KINDS: Mapping[str, Mapping[str, str]] = {
    "SIGKILL": {},
    "SIGSTOP, SIGKILL": {},
    "SIGSEGV": {"dies": "SIGSEGV"},
    "exit 0": {"dies": "0"},
    "exit 3": {"dies": "3"},
    "fifty forks": {"leaves": "forks", "dies": "SIGKILL"},
    "an escaped grandchild": {"leaves": "escaped", "dies": "SIGKILL"},
}
"""What a plugin suffers, and what the task says that has it do so to itself; empty: it is done to it from outside."""
FROM_OUTSIDE = [kind for kind, config in KINDS.items() if not config]


class News:
    """How every plugin stands, as the supervisor tells those that watch."""

    def __init__(self) -> None:
        self._of: dict[str, PluginNews] = {}
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._is_over = False

    @contextmanager
    def watching(self, owner: Owner) -> Iterator[None]:
        """Listen during a block."""
        thread = threading.Thread(target=self._watch, args=(owner,), name="storm-news")
        thread.start()
        try:
            yield
        finally:
            self._is_over = True
            thread.join()

    def wait_for(self, condition: Callable[[Mapping[str, PluginNews]], object], what: str) -> dict[str, PluginNews]:
        """Return how the plugins stand once the condition holds; fail if it does not come to that."""

        def holds() -> bool:
            assert self._failure is None, self._failure
            return bool(condition(self._of))

        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE), f"not {what}: {self._of}"
            return dict(self._of)

    def _watch(self, owner: Owner) -> None:
        try:
            while not self._is_over:
                with ControlClient(owner) as client, suppress(TimeoutError):
                    for news in client.watch(give_up_at=time.monotonic() + GLANCE_SECONDS):
                        if isinstance(news, PluginNews):
                            with self._changed:
                                self._of[news.plugin] = news
                                self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those that wait are told
            with self._changed:
                self._failure = error
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that has ended, or was refused: then it has no outcome."""

    plugin: str
    word: str
    outcome: Outcome | None
    error: str | None


class Senders:
    """Send one task after the other to plugins at random, each on a connection of its own, until told to stop.

    Args:
        owner: The supervisor.
        plugins: Who works.
        sample: What on.
        finished: The file in which plugins write what they have finished.
        seed: What decides about the tasks.
    """

    def __init__(self, owner: Owner, plugins: Sequence[str], sample: Path, finished: Path, seed: str) -> None:
        self.sent: list[Sent] = []
        self._owner = owner
        self._plugins = plugins
        self._sample = sample
        self._finished = finished
        self._seed = seed
        self._stop = threading.Event()

    @contextmanager
    def sending(self, count: int) -> Iterator[None]:
        """Send during a block; afterwards every task has ended.

        Raises:
            AssertionError: A task's records were not what they have to be.
        """
        with ThreadPoolExecutor(count, thread_name_prefix="storm-sender") as pool:
            futures = [pool.submit(self._send_for_ever, number) for number in range(count)]
            try:
                yield
            finally:
                self._stop.set()
        for future in futures:
            future.result()

    def send(self, client: ControlClient, plugin: str, config: Mapping[str, str]) -> Sent:
        """Send a task and return how it ended, having looked at each of its records.

        Raises:
            AssertionError: They were not what they have to be.
        """
        word = secrets.token_hex(8)
        config = {"word": word, "finished": str(self._finished), **config}
        records = list(client.submit(Submitting(plugin, str(self._sample), config)))
        sent = _look_at(records, plugin, word, [int(size) for size in config.get("sizes", "").split(",") if size])
        self.sent.append(sent)
        return sent

    def _send_for_ever(self, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        with ControlClient(self._owner, PATIENCE) as client:
            while not self._stop.wait(rng.uniform(0, 0.03)):
                config = {"sizes": rng.choice(SIZES), "seconds": f"{rng.uniform(0, 0.02):.4f}"}
                self.send(client, rng.choice(self._plugins), config)
            client.status()  # whatever else came on this connection is no status: no task has ended twice


def _look_at(records: Sequence[Record], plugin: str, word: str, sizes: Sequence[int]) -> Sent:
    """Return how a task ended, of which these are all records."""
    last = records[-1]
    if isinstance(last, Refused):
        assert len(records) == 1, records
        return Sent(plugin, word, None, last.error)
    assert isinstance(last, Ended), records
    assert isinstance(records[0], Accepted), records
    assert {record.task for record in records if not isinstance(record, Refused)} == {last.task}, records
    results = [record for record in records if isinstance(record, Result)]
    for number, (size, result) in enumerate(zip(sizes, results, strict=False)):
        assert result.path is not None, result
        data = Path(result.path).read_bytes()
        assert data == bytes([number]) * size, result
        assert hashlib.sha256(data).hexdigest() == result.sha256, result
    if last.outcome is Outcome.COMPLETED:
        assert len(results) == len(sizes) + 1, records
        assert results[-1].data == f'"{word}"', records
    return Sent(plugin, word, last.outcome, last.error)


@dataclass
class Storm:
    """What befalls the plugins, one after the other and some at once, each of them only when it has come back.

    Attributes:
        owner: The supervisor.
        plugins: Whom it befalls.
        senders: Through whom a plugin is told what to do to itself.
        news: How the plugins stand.
        rng: What decides what comes when.
        deaths: How often each plugin died.
        starts: How often each of them had to be started, because it had died too often.
        suffered: How often what was suffered.
        starting: How often by one that was not READY yet.
    """

    owner: Owner
    plugins: Sequence[str]
    senders: Senders
    news: News
    rng: random.Random
    deaths: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    suffered: Counter[str] = field(default_factory=Counter)
    starting: int = 0

    def rage(self, kinds: Sequence[str]) -> None:
        """Have plugins suffer all of this, at random moments; return when all of them are READY again.

        Raises:
            AssertionError: One did not come back, or its task did not fail.
        """
        busy: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(len(self.plugins), thread_name_prefix="storm") as pool:
            for kind in kinds:
                time.sleep(self.rng.uniform(0, MOST_SECONDS_BETWEEN))  # the moment is what is random here
                pause = self.rng.uniform(0, MOST_SECONDS_OF_GRACE)
                plugin, pid = self._choose(kind, busy)
                self.suffered[kind] += 1
                busy[plugin] = pool.submit(self._suffer, plugin, pid, kind, pause)
        for future in busy.values():
            future.result()
        self.news.wait_for(
            lambda of: all(of[name].state == "READY" for name in self.plugins), "READY again after the storm"
        )

    def _choose(self, kind: str, busy: dict[str, Future[None]]) -> tuple[str, int]:
        """Wait for a plugin that has a process to which this can be done; return it with its process."""
        order = self.rng.sample(self.plugins, len(self.plugins))
        # Every other time it is one that has not come as far, where there is one or will be.
        while_starting = kind in FROM_OUTSIDE and self.rng.random() < 0.5
        chosen: list[PluginNews] = []

        def is_there(of: Mapping[str, PluginNews]) -> bool:
            free = [of[name] for name in order if name in of and (name not in busy or busy[name].done())]
            fit = [news for news in free if news.state == "READY"]
            if while_starting and any(news.state in COMING for news in of.values()):
                fit = [news for news in free if news.state == "STARTING"]
            chosen.extend(fit[:1])
            return bool(chosen)

        self.news.wait_for(is_there, f"a plugin that can suffer {kind}")
        [news] = chosen
        if (before := busy.pop(news.plugin, None)) is not None:
            before.result()
        self.starting += news.state == "STARTING"
        assert news.pid is not None, news
        return news.plugin, news.pid

    def _suffer(self, plugin: str, pid: int, kind: str, pause: float) -> None:
        """Do it to a plugin, and see to it that it is started again."""
        if kind in FROM_OUTSIDE:
            if kind.startswith("SIGSTOP"):
                os.kill(pid, signal.SIGSTOP)
            time.sleep(pause)  # so long it stands still, or goes on with its start
            os.kill(pid, signal.SIGKILL)
        else:
            with ControlClient(self.owner, PATIENCE) as client:
                sent = self.senders.send(client, plugin, KINDS[kind])
            assert sent.outcome is Outcome.FAILED, sent
            assert "during the task" in (sent.error or ""), sent
        of = self.news.wait_for(lambda of: of[plugin].pid != pid, f"{plugin} has ended of {kind}")
        self.deaths[plugin] += 1
        if of[plugin].state == "FAILED":
            assert "start-limit" in of[plugin].reason, of[plugin]
            self.starts[plugin] += 1
            with ControlClient(self.owner, PATIENCE) as client:
                client.change(Changing("start", (plugin,)))
            self.news.wait_for(lambda of: of[plugin].state != "FAILED", f"{plugin} is started again")
