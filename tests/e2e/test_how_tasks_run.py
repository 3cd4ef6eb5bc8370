"""The ways in which tasks run, with real processes: where they are sent, what is beside them, and what is left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_harness import Place, eventually
from ledger_rig import MAKES, Job, check_results, check_whole, ended, owner_of, reading, rows, submit

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Changing, Submitting
from malbox_cli.control.records import Accepted
from malbox_cli.store.task_states import TaskState


class Tasks:
    """Tasks of one supervisor, each of which waits until a file of its own is there.

    Args:
        place: Where.
        manifest: Whose supervisor.
    """

    def __init__(self, place: Place, manifest: Path) -> None:
        self.numbers: list[int] = []
        self._place = place
        self._manifest = manifest
        self._sample = place.sample()
        self._began = place.folder / "began"

    def send(self, plugin: str, *words: str, priority: int = 0) -> None:
        """Send a task for each word."""
        with ControlClient(owner_of(self._manifest)) as client:
            for word in words:
                config = {**Job(word, json=1).config, "until": str(self._gate(word)), "began": str(self._began)}
                request = Submitting(plugin, str(self._sample), config, priority=priority, detach=True)
                answer = submit(client, request)
                assert isinstance(answer, Accepted), answer
                self.numbers.append(answer.task)

    def end(self, *words: str) -> None:
        """Let the tasks of these words go on."""
        for word in words:
            self._gate(word).touch()

    @property
    def began(self) -> list[str]:
        """The words of the tasks whose handlers began, in order."""
        return self._began.read_text().split() if self._began.exists() else []

    def begin(self, *words: str) -> None:
        """Wait until the tasks of exactly these words have begun, in whatever order."""
        eventually(lambda: len(self.began) >= len(words), f"{words} have begun")
        assert sorted(self.began) == sorted(words)

    def running(self, *words: str) -> dict[str, str]:
        """Wait until exactly the tasks of these words run, and return by the ledger which process each is with."""

        def of_word() -> dict[str, str] | None:
            with reading(self._manifest) as reader:
                found = {
                    row.config["word"]: reader.attempts(row.task)[-1].worker
                    for row in reader.tasks()
                    if row.state is TaskState.RUNNING
                }
            return found if found.keys() == set(words) else None

        workers: dict[str, str] = eventually(of_word, f"{words} run, and no other")
        return workers

    def complete(self) -> None:
        """Wait until all are completed, each at the first attempt, with its result."""
        found = ended(self._manifest, self.numbers)
        assert [(row.state, row.attempts) for row in found] == [(TaskState.COMPLETED, 1)] * len(self.numbers), found
        with reading(self._manifest) as reader:
            for row in found:
                check_results(reader, row, Job(row.config["word"], json=1))
        check_whole(self._place, self._manifest)

    def _gate(self, word: str) -> Path:
        return self._place.folder / f"until-{word}"


def standing(place: Place, manifest: Path) -> dict[str, str]:
    """Return the states of all plugins' processes."""
    return {row["id"]: row["state"] for row in place.status(manifest)["plugins"]}


def stands(place: Place, manifest: Path, plugin: str, state: str) -> dict[str, Any]:
    """Wait until a plugin stands somewhere, and return what is said of it."""
    owner_of(manifest)
    found: dict[str, Any] = eventually(
        lambda: row if (row := place.plugin_status(manifest, plugin))["state"] == state else None,
        f"{plugin} is {state}",
    )
    return found


def up(place: Place, tables: Mapping[str, Mapping[str, Any]], ready: Sequence[str]) -> tuple[Path, Any]:
    """Write a manifest and return what starts a supervisor of it for a block."""
    manifest = place.manifest(**tables)
    return manifest, place.up(manifest, ready=ready)


def test_instances_share_a_queue_and_the_least_busy_gets_the_next(place: Place) -> None:
    manifest, running = up(place, {"makes": {**MAKES, "instances": 3}}, ["makes-1", "makes-2", "makes-3"])
    with running:
        pids = {row["id"]: row["pid"] for row in place.status(manifest)["plugins"]}
        assert pids.keys() == {"makes-1", "makes-2", "makes-3"}
        assert len(set(pids.values())) == 3
        tasks = Tasks(place, manifest)
        tasks.send("makes", "a", "b", "c", "d", "e")
        tasks.begin("a", "b", "c")
        workers = tasks.running("a", "b", "c")
        assert sorted(workers.values()) == ["makes-1", "makes-2", "makes-3"]
        assert {row["tasks"]["queued"] for row in place.status(manifest)["plugins"]} == {2}
        tasks.end("b")
        tasks.begin("a", "b", "c", "d")
        assert tasks.running("a", "c", "d")["d"] == workers["b"]
        tasks.end("a", "c", "d", "e")
        tasks.complete()


def test_nothing_runs_beside_an_exclusive_task_and_nobody_starves(place: Place) -> None:
    tables = {
        "alone": {**MAKES, "execution": "exclusive"},
        "many": {**MAKES, "execution": "parallel", "concurrency": 4},
    }
    manifest, running = up(place, tables, ["alone", "many"])
    with running:
        tasks = Tasks(place, manifest)
        tasks.send("many", "m1", "m2")
        tasks.begin("m1", "m2")
        tasks.send("alone", "x1")
        tasks.send("many", "m3")  # there is room for it, but it came later than what waits to be alone
        tasks.end("m1")
        tasks.running("m2")
        tasks.end("m2")
        tasks.begin("m1", "m2", "x1")
        tasks.running("x1")
        tasks.send("alone", "x2")
        tasks.end("x1")
        tasks.begin("m1", "m2", "x1", "m3")
        tasks.running("m3")
        tasks.end("m3", "x2")
        tasks.complete()


@pytest.mark.parametrize(("execution", "at_once"), [("sequential", 1), ("parallel", 3), ("unrestricted", 5)])
def test_so_many_run_at_once_in_one_process(place: Place, execution: str, at_once: int) -> None:
    more = {"concurrency": 3} if execution == "parallel" else {}
    manifest, running = up(place, {"makes": {**MAKES, "execution": execution, **more}}, ["makes"])
    words = [f"w{number}" for number in range(5)]
    with running:
        tasks = Tasks(place, manifest)
        tasks.send("makes", *words)
        tasks.begin(*words[:at_once])
        counts = place.plugin_status(manifest, "makes")["tasks"]
        assert (counts["running"], counts["queued"]) == (at_once, 5 - at_once)
        tasks.end(*words)
        tasks.complete()


def test_an_ephemeral_plugin_has_a_process_for_each_task_and_else_none(place: Place) -> None:
    manifest, running = up(place, {"makes": {**MAKES, "state": "ephemeral"}}, [])
    with running:
        assert stands(place, manifest, "makes", "IDLE")["pid"] is None
        tasks = Tasks(place, manifest)
        tasks.send("makes", "a", "b")
        tasks.begin("a")
        first = place.plugin_status(manifest, "makes")["pid"]
        tasks.end("a")
        tasks.begin("a", "b")
        second = place.plugin_status(manifest, "makes")["pid"]
        assert second is not None
        assert first != second
        assert not psutil.pid_exists(first)
        tasks.end("b")
        assert stands(place, manifest, "makes", "IDLE")["pid"] is None
        eventually(lambda: not psutil.pid_exists(second), "its process has ended")
        tasks.complete()


def test_a_spare_process_is_ready_for_the_next_task(place: Place) -> None:
    manifest, running = up(place, {"makes": {**MAKES, "state": "ephemeral", "spare": True}}, ["makes"])
    with running:
        first = stands(place, manifest, "makes", "READY")["pid"]
        tasks = Tasks(place, manifest)
        tasks.send("makes", "a")
        tasks.begin("a")
        assert place.plugin_status(manifest, "makes")["pid"] == first
        tasks.end("a")
        eventually(lambda: place.plugin_status(manifest, "makes")["pid"] not in (first, None), "it has another process")
        second = stands(place, manifest, "makes", "READY")["pid"]
        tasks.send("makes", "b")
        tasks.begin("a", "b")
        assert place.plugin_status(manifest, "makes")["pid"] == second
        tasks.end("b")
        tasks.complete()


def test_ephemeral_instances_work_side_by_side_and_all_go(place: Place) -> None:
    manifest, running = up(place, {"makes": {**MAKES, "state": "ephemeral", "instances": 2}}, [])
    with running:
        for name in ("makes-1", "makes-2"):
            stands(place, manifest, name, "IDLE")
        tasks = Tasks(place, manifest)
        tasks.send("makes", "a")
        tasks.begin("a")
        assert sorted(standing(place, manifest).values()) == ["IDLE", "READY"]  # no more than are needed
        tasks.send("makes", "b", "c")
        tasks.begin("a", "b")
        assert sorted(tasks.running("a", "b").values()) == ["makes-1", "makes-2"]
        tasks.end("a", "b", "c")
        tasks.complete()
        for name in ("makes-1", "makes-2"):
            stands(place, manifest, name, "IDLE")


def test_a_scoped_plugin_lives_while_tasks_of_its_scope_are_open(place: Place) -> None:
    tables = {"other": MAKES, "makes": {**MAKES, "state": "scoped", "scope": ["other"]}}
    manifest, running = up(place, tables, ["other"])
    with running:
        stands(place, manifest, "makes", "IDLE")
        tasks = Tasks(place, manifest)
        tasks.send("other", "o1")
        pid = stands(place, manifest, "makes", "READY")["pid"]
        tasks.send("makes", "a", "b")
        tasks.end("a", "b")
        tasks.begin("o1", "a", "b")
        ended(manifest, tasks.numbers[1:])
        assert stands(place, manifest, "makes", "READY")["pid"] == pid  # one process for both, and it stays
        tasks.end("o1")
        stands(place, manifest, "makes", "IDLE")
        eventually(lambda: not psutil.pid_exists(pid), "its process has ended")
        tasks.send("makes", "c")
        tasks.begin("o1", "a", "b", "c")
        assert place.plugin_status(manifest, "makes")["pid"] not in (pid, None)
        tasks.end("c")
        stands(place, manifest, "makes", "IDLE")
        tasks.complete()


def test_the_higher_priority_goes_first_and_within_one_the_earlier(place: Place) -> None:
    manifest, running = up(place, {"makes": MAKES}, ["makes"])
    with running:
        tasks = Tasks(place, manifest)
        tasks.send("makes", "first")
        tasks.begin("first")
        tasks.send("makes", "low", priority=-1)
        tasks.send("makes", "a", "b")
        tasks.send("makes", "high", priority=5)
        tasks.end("first", "low", "a", "b", "high")
        tasks.complete()
        assert tasks.began == ["first", "high", "a", "b", "low"]
    assert [row.priority for _, row in sorted(rows(manifest).items())] == [0, -1, 0, 0, 5]


def test_a_restart_of_one_instance_after_the_other_loses_nothing(place: Place) -> None:
    manifest, running = up(place, {"makes": {**MAKES, "instances": 2}}, ["makes-1", "makes-2"])
    jobs = [Job(f"w{number}", json=1, sizes=(3_000_000,) * 4) for number in range(6)]
    began = place.folder / "began"
    with running, ControlClient(owner_of(manifest)) as client, ControlClient(owner_of(manifest)) as operator:
        numbers = []
        for job in jobs:
            config = {**job.config, "began": str(began)}
            answer = submit(client, Submitting("makes", str(manifest), config, detach=True))
            assert isinstance(answer, Accepted), answer
            numbers.append(answer.task)
        for times, name in enumerate(("makes-1", "makes-2", "makes-1"), 2):
            eventually(lambda times=times: len(began.read_text().split()) >= times, f"{times} have begun")
            pid = place.plugin_status(manifest, name)["pid"]
            operator.change(Changing("restart", (name,)))
            eventually(
                lambda name=name, pid=pid: place.plugin_status(manifest, name)["pid"] not in (pid, None),
                "it is a new one",
            )
            stands(place, manifest, name, "READY")
        found = ended(manifest, numbers, 30)
    assert {row.state for row in found} == {TaskState.COMPLETED}, found
    with reading(manifest) as reader:
        for row, job in zip(found, jobs, strict=True):
            outcomes = [attempt.outcome for attempt in reader.attempts(row.task)]
            assert outcomes == ["interrupted"] * (row.attempts - 1) + ["completed"]
            check_results(reader, row, job)
    check_whole(place, manifest)
