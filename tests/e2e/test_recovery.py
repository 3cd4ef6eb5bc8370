"""What becomes of accepted tasks when something ends that should not, or is not as it was."""

import os
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from e2e_harness import Place, Running, eventually
from ledger_rig import MAKES, Job, check_results, check_whole, ended, owner_of, reading, rows, submit, waiting

from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import Submitting
from malbox_cli.control.records import Accepted, Ended, Refused
from malbox_cli.store.task_states import TaskState

COMPLETED, FAILED, QUEUED = TaskState.COMPLETED, TaskState.FAILED, TaskState.QUEUED


def began(place: Place) -> list[str]:
    """Return the words of the tasks whose handlers began, in order."""
    file = place.folder / "began"
    return file.read_text().split() if file.exists() else []


def begins(place: Place, count: int) -> None:
    """Wait until so many handlers have begun."""
    eventually(lambda: len(began(place)) >= count, f"{count} tasks have begun")


def kill(up: Running) -> None:
    """Kill a supervisor as the kernel does it where memory is short."""
    up.popen.kill()
    up.popen.wait()


def outcomes(manifest: Path, task: int) -> list[str | None]:
    """Return how the attempts at a task ended."""
    with reading(manifest) as reader:
        return [attempt.outcome for attempt in reader.attempts(task)]


# The supervisor ends.


def test_what_was_queued_goes_on_in_order_and_what_was_running_goes_again(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest(makes=MAKES)
    up = place.start_up(manifest)
    tasks = waiting(place, manifest, "makes", 4, {"began": str(place.folder / "began")})
    begins(place, 1)
    kill(up)
    states = [row.state for _, row in sorted(rows(manifest).items())]
    assert states == [TaskState.RUNNING, QUEUED, QUEUED, QUEUED]
    with place.up(manifest) as again:
        again.wait_for("took up 4 tasks of the supervisor before")
        (place.folder / "until").touch()
        found = ended(manifest, tasks)
    assert [row.state for row in found] == [COMPLETED] * 4
    assert [row.attempts for row in found] == [2, 1, 1, 1]
    assert began(place) == ["makes-0", "makes-0", "makes-1", "makes-2", "makes-3"]
    assert outcomes(manifest, tasks[0]) == ["lost", "completed"]
    with reading(manifest) as reader:
        for number, row in enumerate(found):
            check_results(reader, row, Job(f"makes-{number}", json=1))
        assert any(note.kind == "retry" for note in reader.notes(tasks[0]))
    check_whole(place, manifest)


def test_a_task_under_which_everything_ends_twice_is_poison_and_those_behind_it_go_on(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest(makes=MAKES)
    up = place.start_up(manifest)
    tasks = waiting(place, manifest, "makes", 3, {"began": str(place.folder / "began")})
    for times in (1, 2):
        begins(place, times)
        kill(up)
        up = place.start_up(manifest)
    [poison] = ended(manifest, tasks[:1])
    assert poison.state is FAILED
    assert poison.error is not None
    assert "the supervisor ended during the task" in poison.error
    assert "counts as poison" in poison.error
    assert outcomes(manifest, tasks[0]) == ["lost", "lost"]
    (place.folder / "until").touch()
    assert [row.state for row in ended(manifest, tasks)] == [FAILED, COMPLETED, COMPLETED]
    with reading(manifest) as reader:
        notes = [note.text for note in reader.notes(tasks[0]) if note.kind == "retry"]
    assert len(notes) == 1, "it was tried again once, and not said to be tried again when it was not"
    assert place.malbox("down", "-f", manifest).code == 0
    up.wait()
    check_whole(place, manifest)


def test_an_orderly_end_leaves_what_nobody_waits_for_to_the_next_supervisor(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    with place.up(manifest):
        tasks = waiting(place, manifest, "makes", 3, {"began": str(place.folder / "began")})
        begins(place, 1)
    assert [rows(manifest)[task].state for task in tasks] == [QUEUED] * 3
    assert outcomes(manifest, tasks[0]) == ["interrupted"]
    with reading(manifest) as reader:
        assert reader.results(tasks[0]) == []  # what it had pushed is void
    (place.folder / "until").touch()
    with place.up(manifest):
        found = ended(manifest, tasks)
    assert [(row.state, row.attempts) for row in found] == [(COMPLETED, 2), (COMPLETED, 1), (COMPLETED, 1)]
    assert began(place) == ["makes-0", "makes-0", "makes-1", "makes-2"]
    with reading(manifest) as reader:
        for number, row in enumerate(found):
            check_results(reader, row, Job(f"makes-{number}", json=1))
    check_whole(place, manifest)


def test_a_task_whose_sender_waits_does_not_outlive_the_supervisor(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    up = place.start_up(manifest)
    with ControlClient(owner_of(manifest)) as client:
        config = {"until": str(place.folder / "until")}
        task = submit(client, Submitting("makes", str(place.sample()), config))
        assert isinstance(task, Accepted)
        assert place.malbox("down", "-f", manifest).code == 0
        up.wait()
    [row] = ended(manifest, [task.task])
    assert (row.state, row.error) == (TaskState.CANCELED, "the supervisor is stopping")


def test_a_run_that_is_killed_has_failed_and_its_numbers_are_nobody_elses(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest(makes=MAKES)
    until, sample = place.folder / "until", place.sample(name="other")
    run = place.start(
        "run",
        "-f",
        manifest,
        sample,
        "--set",
        f"until={until}",
        "--set",
        f"began={place.folder}/began",
        "--set",
        "word=w",
    )
    with place.up(manifest):
        [other] = waiting(place, manifest, "makes", 1)
        eventually(lambda: len(rows(manifest)) == 2, "both tasks are in the ledger")
        begins(place, 1)
        kill(run)
        [killed] = rows(manifest).keys() - {other}
        until.touch()
        assert ended(manifest, [other])[0].state is COMPLETED
        assert not rows(manifest)[killed].state.is_final  # nobody has looked yet
        done = place.run(manifest, sample, "--set", f"until={until}")
        assert done.code == 0, done
    found = rows(manifest)
    assert len(found) == 3
    assert found[killed].state is FAILED
    assert found[killed].error == "the `malbox run` that sent it was killed"
    assert outcomes(manifest, killed) == ["interrupted"]
    check_whole(place, manifest)


def test_runs_beside_a_supervisor_share_its_ledger(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    samples = [place.sample(bytes([number]), f"sample-{number}") for number in range(3)]
    with place.up(manifest):
        runs = [place.start("run", "-f", manifest, "--json", *samples, "--set", f"word=run-{each}") for each in "ab"]
        tasks = waiting(place, manifest, "makes", 5)
        (place.folder / "until").touch()
        dones = [run.wait(30) for run in runs]
        ended(manifest, tasks)
    numbers = [record["task"] for done in dones for record in done.of("completed")]
    assert len(set(numbers + tasks)) == 3 + 3 + 5
    assert {task: row.state for task, row in rows(manifest).items()} == dict.fromkeys(numbers + tasks, COMPLETED)
    check_whole(place, manifest)


def test_tasks_of_a_plugin_that_is_not_run_wait_until_it_is(place: Place) -> None:
    manifest = place.manifest(makes=MAKES, other=MAKES)
    with place.up(manifest):
        [mine, others] = [*waiting(place, manifest, "makes", 1), *waiting(place, manifest, "other", 1)]
    (place.folder / "until").touch()
    with place.up(manifest, "makes", ready=["makes"]) as up:
        up.wait_for("a task of plugin other waits in the ledger, and that plugin is not run")
        assert ended(manifest, [mine])[0].state is COMPLETED
        assert rows(manifest)[others].state is QUEUED
    with place.up(manifest):
        assert ended(manifest, [others])[0].state is COMPLETED
    check_whole(place, manifest)


def test_a_supervisor_that_is_told_twice_to_end_leaves_its_tasks_too(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    file = place.folder / "deaf"
    up = place.start_up(manifest)
    [task] = waiting(place, manifest, "makes", 1, {"deaf": "1", "began": str(file)})
    eventually(file.exists, "its handler never returns")
    up.signal(signal.SIGINT)
    up.wait_for("once more to kill")
    up.signal(signal.SIGINT)
    up.wait()
    assert (rows(manifest)[task].state, outcomes(manifest, task)) == (QUEUED, ["interrupted"])


# The sample is not as it was.


def test_a_sample_that_changes_or_vanishes_while_its_task_waits_fails_it_with_that_reason(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    samples = [place.sample(f"sample {name}".encode(), name) for name in ("kept", "grows", "replaced", "vanishes")]
    with place.up(manifest), ControlClient(owner_of(manifest)) as client:
        waiting(place, manifest, "makes", 1, {"began": str(place.folder / "began")})
        begins(place, 1)
        answers = [submit(client, Submitting("makes", str(sample), {}, detach=True)) for sample in samples]
    tasks = [answer.task for answer in answers if isinstance(answer, Accepted)]
    _, grows, replaced, vanishes = samples
    grows.write_bytes(b"sample grows, and has")
    other = place.sample(b"sample replaceD", "other")
    other.rename(replaced)
    vanishes.unlink()
    (place.folder / "until").touch()
    with place.up(manifest):
        found = ended(manifest, tasks)
    assert [(row.state, row.error) for row in found] == [
        (COMPLETED, None),
        (FAILED, f"the sample {grows} changed while the task waited: it has 21 bytes, it had 12"),
        (FAILED, f"the sample {replaced} changed while the task waited: it was written to or replaced"),
        (FAILED, f"the sample {vanishes} is not there any more"),
    ]
    check_whole(place, manifest)


def test_of_a_copied_sample_the_original_may_go_at_once(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    manifest.write_text(manifest.read_text().replace("[malbox]", "[malbox]\ncopy_samples = true"))
    sample = place.sample(b"soon gone")
    until = place.folder / "until"
    with place.up(manifest), ControlClient(owner_of(manifest)) as client:
        config = {"until": str(until)}
        first = submit(client, Submitting("makes", str(sample), config, detach=True))
        second = submit(client, Submitting("makes", str(sample), {"reads": "1"}, detach=True))
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        sample.unlink()
        until.touch()
        _, row = ended(manifest, [first.task, second.task])
    assert row.state is COMPLETED
    with reading(manifest) as reader:
        content, path = reader.results(row.task)
    assert content.data == b"soon gone"
    assert path.data is not None
    copy = Path(path.data.decode().strip('"'))
    assert copy.name == row.sha256 == first.sha256
    assert copy.is_relative_to(manifest.parent / ".malbox" / "samples")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    assert row.sample == str(sample)


# The queue is full, and those that do not read.


def test_a_full_queue_is_told_at_once_or_waited_for(place: Place) -> None:
    manifest = place.manifest(makes={**MAKES, "queue_size": 2})
    sample = place.sample()
    with place.up(manifest), ControlClient(owner_of(manifest)) as client:
        tasks = waiting(place, manifest, "makes", 1, {"began": str(place.folder / "began")})
        begins(place, 1)
        tasks += waiting(place, manifest, "makes", 2)
        refused = submit(client, Submitting("makes", str(sample), {}, detach=True))
        assert isinstance(refused, Refused)
        why = "the queue of plugin makes is full: 2 tasks wait (queue_size); send it later, or with --wait"
        assert refused.error == why
        done = place.malbox("send-task", "-f", manifest, "makes", sample)
        assert done.code == 1, done
        assert why in done.err + done.out
        assert "Traceback" not in done.err
        records = client.submit(Submitting("makes", str(sample), {}, detach=True, wait=True))
        (place.folder / "until").touch()
        accepted = next(records)
        assert isinstance(accepted, Accepted)
        assert isinstance(list(records)[-1], Ended)
        found = ended(manifest, [*tasks, accepted.task])
    assert [row.state for row in found] == [COMPLETED] * 4
    assert len(rows(manifest)) == 4  # what was refused was no task
    check_whole(place, manifest)


def test_a_client_that_does_not_read_slows_nobody_and_loses_nothing(place: Place) -> None:
    manifest = place.manifest(makes=MAKES, other=MAKES)
    sample = place.sample()
    job = Job("much", json=200)
    with place.up(manifest) as up, ControlClient(owner_of(manifest)) as deaf:
        for _ in range(20):  # its answers fill the socket, and then wait in the supervisor
            next(deaf.submit(Submitting("makes", str(sample), job.config, detach=True)))
        tasks = list(eventually(lambda: found if len(found := rows(manifest)) == 20 else None, "20 tasks are taken"))
        done = place.send(manifest, "other", sample, "--set", "json=3")
        assert done.code == 0, done
        found = ended(manifest, tasks)
        assert up.popen.poll() is None
    assert len(found) == 20
    with reading(manifest) as reader:
        for row in found:
            check_results(reader, row, job)


def test_what_a_plugin_pushes_waits_with_it_where_somebody_keeps_the_ledger_locked(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    job = Job("much", sizes=(16_000,) * 4000, more={"after": f"{place.folder}/after", "began": f"{place.folder}/began"})
    objects = manifest.parent / ".malbox" / "objects"
    with place.up(manifest), ControlClient(owner_of(manifest)) as client:
        task = submit(client, Submitting("makes", str(place.sample()), job.config, detach=True))
        assert isinstance(task, Accepted)
        begins(place, 1)
        with closing(sqlite3.connect(objects.parent / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            (place.folder / "after").touch()
            counts: list[int] = []

            def stands_still() -> bool:
                counts.append(sum(1 for _ in objects.glob("??/*")))
                return len(counts) > 50 and len(set(counts[-50:])) == 1 and counts[-1] > 0

            eventually(stands_still, "it pushes no more", 60)
            other.execute("ROLLBACK")
        assert counts[-1] < len(job.sizes) / 2, "all of it waits in the supervisor's memory"
        [row] = ended(manifest, [task.task], 60)
    assert row.state is COMPLETED
    with reading(manifest) as reader:
        check_results(reader, row, job)


# The ledger cannot be used, or is not wanted.


def test_a_ledger_of_a_newer_malbox_or_none_at_all_is_one_clear_line(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    with place.up(manifest):
        pass
    state = manifest.parent / ".malbox"
    ledger = state / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 99")
    for command in (("up",), ("run", str(place.sample()))):
        done = place.malbox(command[0], "-f", manifest, *command[1:])
        assert done.code == 1, done
        assert len(done.err.splitlines()) == 1, done
        assert f"{ledger} was written by a newer malbox (schema 99, this one knows" in done.err
    ledger.write_text("this is a letter, and no database\n" * 100)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (state / name).unlink(missing_ok=True)
    done = place.malbox("up", "-f", manifest)
    assert done.code == 1, done
    assert len(done.err.splitlines()) == 1, done
    assert f"{ledger} is no ledger, nor any other database: move the file away" in done.err
    assert ledger.read_text().startswith("this is a letter")
    place.assert_nothing_left()


def test_without_a_ledger_tasks_are_done_and_not_kept(place: Place) -> None:
    manifest = place.manifest(makes=MAKES)
    manifest.write_text(manifest.read_text().replace("[malbox]", "[malbox]\nledger = false"))
    with place.up(manifest):
        done = place.send(manifest, "makes", place.sample(), "--set", "json=2", "--set", "word=w")
        assert done.code == 0, done
        assert len(done.of("result")) == 2
        tasks = waiting(place, manifest, "makes", 2)
        assert tasks == [2, 3]
    assert not (manifest.parent / ".malbox" / "ledger.db").exists()


def test_a_plugin_that_is_killed_under_a_task_gets_it_again(place: Place) -> None:
    manifest = place.manifest(makes={**MAKES, "restart": "always"})
    with place.up(manifest, code=1):
        [task] = waiting(place, manifest, "makes", 1, {"began": str(place.folder / "began")})
        begins(place, 1)
        os.kill(place.plugin_status(manifest, "makes")["pid"], signal.SIGKILL)
        begins(place, 2)
        (place.folder / "until").touch()
        [row] = ended(manifest, [task])
    assert (row.state, outcomes(manifest, task)) == (COMPLETED, ["lost", "completed"])
