"""The commands that act on tasks of a running supervisor."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import Done, Place, Running, eventually
from terminals import Terminal


def detached(place: Place, manifest: Path, *arguments: object) -> int:
    """Send a task that goes on by itself; return its number."""
    done = place.malbox("send-task", "-f", manifest, "--detach", *arguments)
    assert done.code == 0, done
    assert done.err == ""
    return int(done.out)


def show(place: Place, task: int) -> dict[str, Any]:
    done = place.malbox("show", str(task), "--json")
    assert done.code == 0, done
    shown: dict[str, Any] = json.loads(done.out)
    return shown


def reaches(place: Place, task: int, state: str) -> dict[str, Any]:
    """Wait until a task is in a state; return what is shown of it."""

    def there() -> dict[str, Any] | None:
        shown = show(place, task)
        return shown if shown["state"] == state else None

    found: dict[str, Any] = eventually(there, f"task {task} is {state}")
    return found


def waiting(place: Place, manifest: Path, sample: Path, *arguments: object) -> int:
    """Send a task that waits for the file `go`, and wait until it does."""
    task = detached(place, manifest, "echo", sample, "--set", f"until={place.folder / 'go'}", *arguments)
    reaches(place, task, "RUNNING")
    return task


def follow(place: Place, task: int, *arguments: str) -> Running:
    """Follow a task that waits, and return once the command does."""
    running = place.start("show", str(task), "--follow", *arguments)
    running.wait_for("careful")
    return running


def test_a_detached_task_goes_on_by_itself(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        task = waiting(place, manifest, sample, "--set", "config=1")
        (place.folder / "go").touch()
        shown = reaches(place, task, "COMPLETED")
    assert shown["detached"] is True
    assert [result["name"] for result in shown["results"]] == ["config"]
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["completed"]


def test_detach_as_json_is_the_accepted_record(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        (record,) = place.send(manifest, "--detach", "echo", sample).records
        assert record["type"] == "accepted"
        reaches(place, record["task"], "COMPLETED")


def test_a_full_queue_is_told_at_once_or_waited_for(place: Place) -> None:
    manifest, sample = place.manifest("echo", echo={"queue_size": 1}), place.sample()
    with place.up(manifest):
        waiting(place, manifest, sample)
        queued = detached(place, manifest, "echo", sample)
        refused = place.malbox("send-task", "-f", manifest, "--detach", "echo", sample)
        attached = place.malbox("send-task", "-f", manifest, "echo", sample)
        patient = place.start("send-task", "-f", manifest, "--detach", "--wait", "echo", sample)
        (place.folder / "go").touch()
        late = patient.wait()
        reaches(place, queued, "COMPLETED")
        assert late.code == 0, late
        reaches(place, int(late.out), "COMPLETED")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("malbox: echo refused the task: ")
    assert "queue" in refused.err
    assert attached.code == 1
    assert "echo: refused: " in attached.out


def test_a_higher_priority_goes_first(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        waiting(place, manifest, sample)
        low = detached(place, manifest, "echo", sample, "--priority", "-1")
        middle = detached(place, manifest, "echo", sample)
        high = detached(place, manifest, "echo", sample, "--priority", "1000")
        (place.folder / "go").touch()
        shown = {task: reaches(place, task, "COMPLETED") for task in (low, middle, high)}
    assert sorted(shown, key=lambda task: shown[task]["started_at"]) == [high, middle, low]
    assert [shown[task]["priority"] for task in (low, middle, high)] == [-1, 0, 1000]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_task_is_followed_from_its_beginning_to_its_end(place: Place, as_json: bool) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    arguments = ["--json"] * as_json
    with place.up(manifest):
        task = waiting(place, manifest, sample, "--set", "warn=careful", "--set", "config=1", "--set", "sizes=10")
        first, second = follow(place, task, *arguments), follow(place, task, *arguments)
        (place.folder / "go").touch()
        done, other = first.wait(), second.wait()
        after = place.malbox("show", str(task), "--follow", *arguments)
    assert (done.code, done.err) == (0, "")
    if as_json:
        kinds = [record["type"] for record in done.records if record["type"] != "progress"]
        assert kinds == ["accepted", "warning", "result", "result", "completed"]
        lasting = [record for record in done.records if record["type"] != "progress"]
        assert lasting == [record for record in other.records if record["type"] != "progress"] == after.records
    else:
        assert done.out == other.out == after.out
        assert done.out.count("warning: careful") == done.out.count("→ config") == done.out.count("→ bytes-10") == 1


def test_a_task_that_waits_is_followed_too(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        waiting(place, manifest, sample)
        queued = detached(place, manifest, "echo", sample, "--set", "config=1")
        following = place.start("show", str(queued), "--follow", "--json")
        following.wait_for("accepted")
        (place.folder / "go").touch()
        done = following.wait()
    assert done.code == 0
    assert [record["type"] for record in done.records] == ["accepted", "result", "completed"]


def test_whoever_follows_may_leave_and_the_task_goes_on(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        task = waiting(place, manifest, sample, "--set", "warn=careful")
        following = follow(place, task)
        following.signal(signal.SIGINT)
        done = following.wait()
        (place.folder / "go").touch()
        reaches(place, task, "COMPLETED")
    assert done.code == 130
    assert done.err == f"malbox: task {task} goes on\n"


def test_following_on_a_terminal_shows_a_bar_and_leaves_none(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        task = waiting(place, manifest, sample, "--set", "warn=careful")
        with Terminal(place, "show", "-f", str(task)) as terminal:
            terminal.wait_for("careful")
            terminal.wait_for("0%")
            (place.folder / "go").touch()
            assert terminal.wait() == 0
    assert "completed after" in terminal.shown


def test_cancelling_waits_until_each_has_ended(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        running = waiting(place, manifest, sample)
        queued = [detached(place, manifest, "echo", sample) for _ in range(3)]
        one = place.malbox("cancel", str(queued[0]))
        rest = place.malbox("cancel", "--json", *map(str, [running, *queued]))
        states = {task: show(place, task)["state"] for task in (running, *queued)}
    assert (one.code, one.out, one.err) == (0, f"task {queued[0]} is CANCELED\n", "")
    assert rest.code == 0, rest
    assert [record["task"] for record in rest.records] == [*queued, running]
    assert [record["was_over"] for record in rest.records] == [True, False, False, False]
    assert set(states.values()) == {"CANCELED"}


def test_a_handler_that_does_not_listen_is_ended_by_force(place: Place) -> None:
    manifest = place.manifest("ignores_cancel", ignores_cancel={"cancel_grace": "200ms", "restart": "always"})
    up = place.start_up(manifest)
    task = detached(place, manifest, "ignores_cancel", place.sample(), "--set", "how=python")
    reaches(place, task, "RUNNING")
    done = place.malbox("cancel", str(task))
    assert place.malbox("down", "-f", manifest).code == 0
    up.wait()
    assert (done.code, done.out) == (0, f"task {task} is CANCELED\n")


def test_a_retry_is_the_same_again(place: Place) -> None:
    manifest, sample = place.manifest("echo", echo={"config": {"token": "hunter2"}}), place.sample()
    with place.up(manifest):
        first = place.send(manifest, "echo", sample, "--set", "config=1", "--timeout", "9", "--priority", "7").end[
            "task"
        ]
        again = place.malbox("retry", str(first), "--json", "--output", "out")
        quiet = place.malbox("retry", str(first), str(first), "--detach")
        second = again.end["task"]
        shown = show(place, second)
        reaches(place, int(quiet.out), "COMPLETED")
    assert again.code == 0, again
    assert again.of("result")[0]["data"]["task"] == {"config": "1", "token": "hunter2"}
    assert (shown["retry_of"], shown["timeout"], shown["priority"]) == (first, 9.0, 7)
    assert shown["config"] == {"config": "1", "token": "***"}
    assert list((place.folder / "out").rglob("config.json"))
    assert int(quiet.out) > second


def test_several_retries_end_as_the_worst_of_them(place: Place) -> None:
    manifest, sample = place.manifest("echo", "raises"), place.sample()
    with place.up(manifest):
        good = place.send(manifest, "echo", sample).end["task"]
        bad = place.send(manifest, "raises", sample).end["task"]
        done = place.malbox("retry", str(bad), str(good), "--json")
        open_one = waiting(place, manifest, sample)
        refused = place.malbox("retry", str(good), str(open_one))
        (place.folder / "go").touch()
        reaches(place, open_one, "COMPLETED")
        newest = place.malbox("tasks", "--json", "-n", "1").records[0]["task"]
    assert done.code == 1
    assert [record["type"] for record in done.records if "seconds" in record] == ["failed", "completed"]
    assert refused.code == 1
    assert f"task {open_one} is RUNNING: only one that has ended can be retried" in refused.err
    assert newest == open_one


def test_ctrl_c_cancels_the_retry_that_runs_and_sends_no_other(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    go = place.folder / "go"
    with place.up(manifest):
        go.touch()
        tasks = [detached(place, manifest, "echo", sample, "--set", f"until={go}") for _ in range(2)]
        for task in tasks:
            reaches(place, task, "COMPLETED")
        go.unlink()
        retry = place.start("retry", *map(str, tasks), "--json")
        retry.wait_for("waiting")
        retry.signal(signal.SIGINT)
        done = retry.wait()
        newest = place.malbox("tasks", "--json", "-n", "1").records[0]["task"]
    assert done.code == 130, done
    assert done.end["type"] == "canceled"
    assert done.end["task"] == newest


def test_a_changed_sample_is_taken_by_force(place: Place) -> None:
    manifest, sample = place.manifest("echo"), place.sample()
    with place.up(manifest):
        task = place.send(manifest, "echo", sample).end["task"]
        sample.write_bytes(b"something else")
        assert place.malbox("retry", str(task)).code == 1
        forced = place.malbox("retry", str(task), "--force", "--json", "--output", "out")
    assert forced.code == 0, forced


class TestCached:
    """`send-task --cached`."""

    def cached(self, place: Place, manifest: Path, *arguments: object) -> Done:
        return place.malbox("send-task", "-f", manifest, "--cached", "--json", *arguments)

    def test_the_same_is_not_run_again(self, place: Place) -> None:
        manifest, sample = place.manifest("echo"), place.sample()
        other_name = place.sample(name="other")
        settings = ["--set", "warn=w", "--set", "config=1", "--set", "sizes=10,300000"]
        with place.up(manifest):
            first = self.cached(place, manifest, "echo", sample, *settings)
            again = self.cached(place, manifest, "echo", other_name, *reversed_pairs(settings), "--output", "out")
            text = place.malbox("send-task", "-f", manifest, "--cached", "echo", sample, *settings)
            number = place.malbox("send-task", "-f", manifest, "--cached", "--detach", "echo", sample, *settings)
            tasks = place.malbox("tasks", "--json").records
        task = first.end["task"]
        assert first.code == again.code == 0, again
        assert [record["type"] for record in again.records] == [record["type"] for record in first.records]
        assert again.end == first.end
        assert len(list((place.folder / "out").rglob("bytes-300000"))) == 1
        assert text.err == f"malbox: task {task} has done the same before; nothing runs\n"
        assert "→ config" in text.out
        assert number.out == f"{task}\n"
        assert [row["task"] for row in tasks] == [task]

    @pytest.mark.parametrize("what", ["content", "setting", "config", "plugin", "result is gone", "failed"])
    def test_whatever_differs_is_run(self, place: Place, what: str) -> None:
        manifest, sample = place.manifest("echo", "raises", echo={"config": {"a": "1"}}), place.sample()
        plugin = "raises" if what == "failed" else "echo"
        settings = ["--set", "sizes=20000"]
        with place.up(manifest):
            first = self.cached(place, manifest, plugin, sample, *settings)
            if what == "content":
                sample.write_bytes(b"another")
            elif what == "setting":
                settings = ["--set", "sizes=20001"]
            elif what == "config":
                manifest.write_text(manifest.read_text().replace('a = "1"', 'a = "2"'))
                assert place.malbox("reload", "-f", manifest).code == 0
                assert place.malbox("wait", "-f", manifest).code == 0
            elif what == "plugin":
                plugin = "raises"
            elif what == "result is gone":
                Path(first.of("result")[0]["path"]).unlink()
            again = self.cached(place, manifest, plugin, sample, *settings)
        assert again.end["task"] > first.end["task"]


def reversed_pairs(settings: list[str]) -> list[str]:
    """Return ``--set`` options in the other order."""
    pairs = list(zip(settings[::2], settings[1::2], strict=True))
    return [word for pair in reversed(pairs) for word in pair]
