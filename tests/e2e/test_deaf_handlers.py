"""Handlers that never return to Python: nothing in their process can be told anything, and still their tasks end."""

import signal
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import Place, eventually
from ledger_rig import MAKES, Job, check_results, check_whole, ended, owner_of, reading, rows, submit, waiting

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Submitting
from malbox_cli.control.records import Accepted, Ended
from malbox_cli.store.task_states import TaskState

GRACE = {**MAKES, "cancel_grace": "300ms"}
PARALLEL = {**GRACE, "execution": "parallel", "concurrency": 4}


def send_deaf(place: Place, client: ControlClient, timeout: float | None = None) -> int:
    """Send a task whose handler never returns; return its number once it is there."""
    file = place.folder / "deaf"
    config = {"word": "deaf", "json": "1", "deaf": "1", "began": str(file)}
    answer = submit(client, Submitting("makes", str(place.sample(name="other")), config, timeout))
    assert isinstance(answer, Accepted)
    eventually(file.exists, "the deaf one has begun")
    return answer.task


def end_of(client: ControlClient) -> Ended:
    """Return how the task of a connection ended."""
    *_, last = client.records()
    assert isinstance(last, Ended)
    return last


@pytest.mark.parametrize("timeout", [None, 0.5])
def test_cancel_and_time_limit_end_it_within_its_grace_and_the_next_task_runs(
    place: Place, timeout: float | None
) -> None:
    manifest = place.manifest(makes=GRACE)
    with place.up(manifest, code=1), ControlClient(owner_of(manifest)) as client:
        before: dict[str, Any] = place.plugin_status(manifest, "makes")
        task = send_deaf(place, client, timeout)
        [behind] = waiting(place, manifest, "makes", 1)
        (place.folder / "until").touch()
        if timeout is None:
            client.cancel(task)
        end = end_of(client)
        assert end.outcome.name == ("CANCELED" if timeout is None else "TIMEOUT")
        assert end.error == ("cancelled on request" if timeout is None else "took longer than 500ms")
        [row] = ended(manifest, [behind])
        assert (row.state, row.attempts) == (TaskState.COMPLETED, 1)
        assert place.plugin_status(manifest, "makes")["pid"] != before["pid"]
    kept = rows(manifest)[task]
    assert kept.state.name == end.outcome.name
    assert kept.partial == end.partial
    assert kept.attempts == 1
    check_whole(place, manifest)


@pytest.mark.parametrize("timeout", [None, 0.5])
def test_tasks_beside_it_go_again_and_complete(place: Place, timeout: float | None) -> None:
    manifest = place.manifest(makes=PARALLEL)
    began = place.folder / "began"
    with place.up(manifest, code=1), ControlClient(owner_of(manifest)) as client:
        beside = waiting(place, manifest, "makes", 3, {"began": str(began)})
        eventually(lambda: began.exists() and len(began.read_text().split()) == 3, "those beside it run")
        task = send_deaf(place, client, timeout)
        if timeout is None:
            client.cancel(task)
        end = end_of(client)
        assert end.outcome.name == ("CANCELED" if timeout is None else "TIMEOUT")
        (place.folder / "until").touch()
        found = ended(manifest, beside)
    assert [(row.state, row.attempts) for row in found] == [(TaskState.COMPLETED, 2)] * 3
    with reading(manifest) as reader:
        for number, row in enumerate(found):
            attempts = reader.attempts(row.task)
            assert [attempt.outcome for attempt in attempts] == ["interrupted", "completed"]
            assert "because of another task" in (attempts[0].error or "")
            check_results(reader, row, Job(f"makes-{number}", json=1))
    check_whole(place, manifest)


def test_ctrl_c_in_send_task_ends_it(place: Place) -> None:
    manifest = place.manifest(makes=GRACE)
    file = place.folder / "deaf"
    with place.up(manifest, code=1):
        task = place.start(
            "send-task", "-f", manifest, "makes", place.sample(), "--set", "deaf=1", "--set", f"began={file}"
        )
        eventually(file.exists, "it has begun")
        task.signal(signal.SIGINT)
        assert task.wait().code == 130
        assert place.send(manifest, "makes", place.sample()).code == 0
    assert states(manifest) == ["CANCELED", "COMPLETED"]


def test_it_is_ended_when_its_client_is_killed(place: Place) -> None:
    manifest = place.manifest(makes=GRACE)
    file = place.folder / "deaf"
    with place.up(manifest, code=1):
        task = place.start(
            "send-task", "-f", manifest, "makes", place.sample(), "--set", "deaf=1", "--set", f"began={file}"
        )
        eventually(file.exists, "it has begun")
        task.popen.kill()
        task.popen.wait()
        assert place.send(manifest, "makes", place.sample()).code == 0
    assert states(manifest) == ["CANCELED", "COMPLETED"]


def states(manifest: Path) -> list[str]:
    """Return the states of all tasks, the first one first."""
    return [row.state.name for _, row in sorted(rows(manifest).items())]
