"""The commands that look into the ledger, with no supervisor running."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import Done, Place
from kept_tasks import NOW, KeptTasks, a_task, file_result, json_result
from terminals import Terminal

from malbox_cli.store.ledger_rows import AttemptRow, NoteRow
from malbox_cli.store.task_states import TaskState

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LONG = "/samples/" + "deep/" * 30 + "invoice.pdf.exe"
SHAS = ["a" * 64, "abcdef" + "0" * 58, "abcdef" + "1" * 58]
TRACEBACK = 'Traceback (most recent call last):\n  File "m.py", line 1, in on_task\nValueError: bad header'


@pytest.fixture
def kept(place: Place) -> KeptTasks:
    place.manifest("echo", "raises")
    return KeptTasks(place.folder / ".malbox")


def fill(kept: KeptTasks) -> None:
    """Keep one task in each state, an hour apart, with samples of their own."""
    for number, state in enumerate(TaskState, 1):
        age = 3600 * (7 - number)
        plugin = "raises" if state is TaskState.FAILED else "echo"
        error = None if state in (TaskState.QUEUED, TaskState.RUNNING, TaskState.COMPLETED) else f"why {number}"
        sha256 = SHAS[number % 3]
        kept.add(
            a_task(
                number,
                state=state,
                plugin=plugin,
                error=error,
                sample=f"/s/{number}",
                sha256=sha256,
                added_at=NOW - age,
            )
        )


def numbers(done: Done) -> list[int]:
    assert done.code == 0, done
    return [record["task"] for record in done.records]


def assert_says(done: Done, code: int, *parts: str) -> None:
    assert done.code == code, done
    assert done.out == "", done
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done
    said = [line for line in done.err.splitlines() if line and not line.startswith(("Usage: ", "Try "))]
    assert len(said) == 1, done


def test_tasks_are_listed_newest_first_a_line_each(place: Place, kept: KeptTasks) -> None:
    fill(kept)
    done = place.malbox("tasks")

    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.split() == ["TASK", "STATE", "PLUGIN", "ADDED", "TOOK", "SAMPLE", "REASON"]
    assert [int(row.split()[0]) for row in rows] == [6, 5, 4, 3, 2, 1]
    assert [row.split()[1] for row in rows] == [state.name for state in reversed(TaskState)]
    assert rows[0].endswith("/s/6  why 6")
    assert not COLOUR.search(done.out)
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--state", "failed", "--state", "QUEUED"], [4, 1]),
        (["--plugin", "raises"], [4]),
        (["--plugin", "raises", "--plugin", "echo", "-n", "2"], [6, 5]),
        (["--sample", "/s/3"], [3]),
        (["--sample", "ABCDEF"], [5, 4, 2, 1]),
        (["--sample", "abcdef0"], [4, 1]),
        (["--sample", "abcdef0", "--sample", "/s/4", "--sample", "/s/6"], [6, 4, 1]),
        (["--since", "3.5h"], [6, 5, 4]),
        (["--since", "2020-01-01"], [6, 5, 4, 3, 2, 1]),
        (["--state", "TIMEOUT", "--since", "1s"], []),
        (["-n", "0"], [6, 5, 4, 3, 2, 1]),
    ],
    ids=str,
)
def test_tasks_are_chosen_by_what_they_are(
    place: Place, kept: KeptTasks, arguments: list[str], expected: list[int]
) -> None:
    fill(kept)
    assert numbers(place.malbox("tasks", "--json", *arguments)) == expected


def test_a_sample_is_named_as_the_shell_sees_it(place: Place, kept: KeptTasks) -> None:
    kept.add(a_task(1, sample=str(place.sample(name="abcdef"))), a_task(2, sha256="abcdef" + "0" * 58))

    assert numbers(place.malbox("tasks", "--json", "--sample", "abcdef")) == [1]
    assert numbers(place.malbox("tasks", "--json", "--sample", "./abcdef")) == [1]


def test_all_tasks_of_a_long_ledger_are_listed_by_pages(place: Place, kept: KeptTasks) -> None:
    kept.add(*(a_task(number, state=TaskState.FAILED) for number in range(1, 2502)))

    assert numbers(place.malbox("tasks", "--json", "-n", "0")) == list(range(2501, 0, -1))
    assert numbers(place.malbox("tasks", "--json", "-n", "0", "--state", "FAILED")) == list(range(2501, 0, -1))
    done = place.malbox("tasks")
    assert len(done.out.splitlines()) == 1 + 50
    assert done.err == "malbox: there are more than these 50; -n 0 lists all\n"


def test_an_exact_number_of_tasks_is_not_said_to_be_fewer_than_all(place: Place, kept: KeptTasks) -> None:
    fill(kept)
    assert place.malbox("tasks", "-n", "6").err == ""


@pytest.mark.parametrize(("columns", "fits"), [(80, False), (160, True)])
def test_the_table_fits_its_terminal_with_colours(place: Place, kept: KeptTasks, columns: int, fits: bool) -> None:
    kept.add(a_task(1, sample=LONG, state=TaskState.FAILED, error=TRACEBACK))

    with Terminal(place, "tasks", env={"COLUMNS": str(columns)}) as terminal:
        assert terminal.wait() == 0

    assert COLOUR.search(terminal.shown)
    lines = COLOUR.sub("", terminal.shown).splitlines()
    assert len(lines) == 2
    assert all(len(line) <= columns for line in lines)
    assert ("ValueError: bad header" in lines[1]) is fits
    assert "invoice.pdf.exe" in lines[1]


def test_no_task_is_said_on_stderr(place: Place, kept: KeptTasks) -> None:
    assert_says(place.malbox("tasks"), 0, f"no task was kept yet in {place.folder / '.malbox'}")
    assert_says(place.malbox("tasks", "--json"), 0, "no task was kept yet")
    fill(kept)
    assert_says(place.malbox("tasks", "--state", "FAILED", "--plugin", "echo"), 0, "no task is like that")


def test_a_plugin_that_the_manifest_had_once_may_be_asked_for(place: Place, kept: KeptTasks) -> None:
    kept.add(a_task(1, plugin="gone"))
    assert numbers(place.malbox("tasks", "--json", "--plugin", "gone")) == [1]
    assert_says(place.malbox("tasks", "--plugin", "ecko"), 2, "no plugin 'ecko' (did you mean 'echo'?)")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tasks", "--since", "rubbish"], ["'--since'", "'rubbish' is neither an age"]),
        (["tasks", "--state", "DONE"], ["'--state'", "'DONE' is not one of"]),
        (["tasks", "-n", "-1"], ["'-n'", "-1"]),
        (["tasks", "--sample", ""], ["'--sample'", "neither a path nor the beginning of a sha256"]),
        (["show", "abc"], ["'TASK'", "'abc' is not the number of a task: `malbox tasks` lists them"]),
        (["show", "-1"], ["No such option"]),
        (["cancel", "1", "x"], ["'TASK...'", "'x' is not the number of a task"]),
        (["cancel"], ["Missing argument 'TASK...'"]),
        (["retry", "٣"], ["is not the number of a task"]),
        (["retry", "1", "2", "--debug"], ["--debug takes one task"]),
        (["retry", "1", "--detach", "--output", "o"], ["--detach and --output exclude each other"]),
        (["send-task", "echo", "sample", "--detach", "--output", "o"], ["--detach and --output exclude each other"]),
        (["send-task", "echo", "sample", "--priority", "1001"], ["'--priority'", "1001 is not from -1000 to 1000"]),
        (["prune"], ["Missing option '--older-than'"]),
        (["prune", "--older-than", "30"], ["'--older-than'", "'30' is not an age such as 30m, 2h, 7d or 4w"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_is_one_message(place: Place, kept: KeptTasks, arguments: list[str], parts: list[str]) -> None:
    fill(kept)
    place.sample()
    assert_says(place.malbox(*arguments), 2, *parts)


@pytest.mark.parametrize("command", [["show"], ["show", "--follow"], ["show", "--json"], ["cancel"], ["retry"]])
def test_a_task_that_is_unknown_is_said_so(place: Place, kept: KeptTasks, command: list[str]) -> None:
    nothing = f"there is no task 9: no task was kept yet in {place.folder / '.malbox'}"
    assert_says(place.malbox(*command, "9"), 1, nothing)
    fill(kept)
    assert_says(place.malbox(*command, "9"), 1, "there is no task 9: the newest is task 6")
    assert_says(place.malbox(*command, "9" * 10), 1, "there is no task 2147483647")
    assert_says(place.malbox(*command, "9" * 11), 2, "is not the number of a task")


@pytest.mark.parametrize(
    "arguments", [["tasks"], ["show", "1"], ["show", "-f", "1"], ["retry", "1"], ["prune", "--older-than", "1d"]]
)
def test_a_manifest_that_keeps_no_ledger_is_said_so(place: Place, arguments: list[str]) -> None:
    path = place.manifest("echo")
    path.write_text(path.read_text().replace("[malbox]\n", "[malbox]\nledger = false\n"))
    assert_says(place.malbox(*arguments), 1, f"{path} keeps no ledger: [malbox] says `ledger = false`")


@pytest.mark.parametrize("arguments", [["tasks"], ["show", "1"], ["retry", "1"], ["cancel", "1"]])
def test_a_ledger_that_cannot_be_read_is_said_so(place: Place, kept: KeptTasks, arguments: list[str]) -> None:
    kept.path.write_text("not a database at all, and long enough to be taken for one" * 100)
    assert_says(place.malbox(*arguments), 1, str(kept.path), "move the file away")


def test_a_ledger_of_a_newer_malbox_is_refused(place: Place, kept: KeptTasks) -> None:
    kept.make_newer()
    assert_says(place.malbox("tasks"), 1, f"{kept.path} was written by a newer malbox")


def keep_a_failed_task(place: Place, kept: KeptTasks) -> dict[str, Path]:
    """Keep task 1, which failed in its second attempt, with results of every kind."""
    files = {name: place.folder / name for name in ("dump", "gone", "large")}
    files["dump"].write_bytes(b"x" * 5000)
    files["gone"].write_bytes(b"y")
    files["large"].write_text(json.dumps({"large": "z" * 10}))
    kept.add(
        a_task(
            1,
            state=TaskState.FAILED,
            error=TRACEBACK,
            partial=True,
            config={"api_key": "hunter2", "depth": "3"},
            attempts=2,
        ),
        attempts=[
            AttemptRow(1, "echo-1", NOW - 9, NOW - 7, "lost", "killed by SIGSEGV"),
            AttemptRow(2, "echo-2", NOW - 6, NOW - 2, "failed", TRACEBACK),
        ],
        notes=[NoteRow(NOW - 59, "warning", "the header is odd"), NoteRow(NOW - 7, "retry", "again in 1 s")],
        results=[
            json_result(1, "facts", {"size": 8}),
            json_result(2, "report", {"schema_version": 1, "verdict": {"classification": "malicious"}}),
            file_result(3, "dump", files["dump"]),
            file_result(4, "gone", files["gone"]),
            file_result(5, "large", files["large"], "json"),
        ],
    )
    files["gone"].unlink()
    return files


def test_show_says_everything(place: Place, kept: KeptTasks) -> None:
    files = keep_a_failed_task(place, kept)
    done = place.malbox("show", "1")

    assert done.code == 0, done
    assert done.err == ""
    for part in (
        "task 1  FAILED after 250 ms, in 2 attempts\n  plugin   echo 0.1.0\n",
        "config   api_key = ***\n",
        "    ValueError: bad header\n",
        "lost after 2.0 s:\n    killed by SIGSEGV\n",
        "warning: the header is odd\n",
        "results (partial: the task did not end well)\n",
        '→ facts\n{"size": 8}\n',
        "→ report\n  verdict malicious\n",
        f"→ dump: 4.9 KiB in {files['dump']}\n",
        f"→ gone: 1 B, not there any more: {files['gone']}\n",
        '→ large\n{"large": "zzzzzzzzzz"}\n',
    ):
        assert part in done.out, part
    assert "hunter2" not in done.out


def test_show_as_json_is_one_object(place: Place, kept: KeptTasks) -> None:
    files = keep_a_failed_task(place, kept)
    (task,) = place.malbox("show", "1", "--json").records

    assert (task["task"], task["state"], task["error"], task["partial"]) == (1, "FAILED", TRACEBACK, True)
    assert task["config"] == {"api_key": "***", "depth": "3"}
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["lost", "failed"]
    assert [note["kind"] for note in task["notes"]] == ["warning", "retry"]
    results: list[dict[str, Any]] = task["results"]
    assert [result["name"] for result in results] == ["facts", "report", "dump", "gone", "large"]
    assert [result.get("data") for result in results][::4] == [{"size": 8}, {"large": "zzzzzzzzzz"}]
    assert [result.get("path") for result in results][2:4] == [str(files["dump"]), str(files["gone"])]


def test_the_stream_of_a_task_that_is_over_is_told_again(place: Place, kept: KeptTasks) -> None:
    files = keep_a_failed_task(place, kept)
    files["gone"].write_bytes(b"y")
    done = place.malbox("show", "1", "--follow", "--json")

    assert done.code == 1, done
    assert [record["type"] for record in done.records] == ["accepted", "warning", *["result"] * 5, "failed"]
    assert done.end["error"] == TRACEBACK
    assert done.end["partial"] is True
    text = place.malbox("show", "-f", "1")
    assert text.code == 1
    assert "echo /bin/ls → facts" in text.out
    assert "echo /bin/ls: failed after 250 ms: Traceback" in text.out


@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELED", 1), ("TIMEOUT", 124)])
def test_following_ends_as_the_task_did(place: Place, kept: KeptTasks, state: str, code: int) -> None:
    kept.add(a_task(1, state=TaskState[state]))
    assert place.malbox("show", "1", "--follow").code == code


@pytest.mark.parametrize("command", [["show", "--follow"], ["cancel"]])
def test_an_open_task_that_nobody_works_on_needs_a_supervisor(
    place: Place, kept: KeptTasks, command: list[str]
) -> None:
    kept.add(a_task(1, state=TaskState.QUEUED))
    assert_says(place.malbox(*command, "1"), 69, "task 1 is QUEUED: no supervisor is running", "malbox up -f")


def test_cancelling_what_is_over_says_how_it_ended(place: Place, kept: KeptTasks) -> None:
    kept.add(a_task(1, state=TaskState.CANCELED), a_task(2))
    canceled, completed = place.malbox("cancel", "1"), place.malbox("cancel", "1", "2", "1", "--json")

    assert (canceled.code, canceled.out) == (0, "task 1 had ended before: CANCELED\n")
    assert completed.code == 1
    assert [(each["task"], each["state"], each["was_over"]) for each in completed.records] == [
        (1, "CANCELED", True),
        (2, "COMPLETED", True),
    ]


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_sample_that_is_another_is_not_tried_again(place: Place, kept: KeptTasks, debug: list[str]) -> None:
    sample = place.sample(b"a sample")
    kept.add(a_task(1, sample=str(sample)), a_task(2, sample=str(place.folder / "never")))

    sample.write_bytes(b"a Sample")
    assert_says(
        place.malbox("retry", *debug, "1"), 1, f"its sample {sample} has changed since: its sha256 was", "--force"
    )
    sample.write_bytes(b"another")
    assert_says(place.malbox("retry", *debug, "1"), 1, "it had 8 bytes, it has 7 (--force takes it as it is now)")
    sample.unlink()
    assert_says(place.malbox("retry", *debug, "1", "--force"), 1, f"task 1: its sample {sample} is not there any more")


def test_nothing_is_tried_again_where_one_of_several_cannot_be(place: Place, kept: KeptTasks) -> None:
    sample = str(place.sample())
    kept.add(a_task(1, sample=sample), a_task(2, sample=sample, state=TaskState.QUEUED), a_task(3, sample="/no"))
    done = place.malbox("retry", "1", "2", "3")

    assert done.code == 1
    assert done.err.splitlines() == [
        "malbox: task 2 is QUEUED: only one that has ended can be retried; `malbox cancel 2` ends it",
        "malbox: task 3: its sample /no is not there any more",
    ]


def test_a_retry_for_a_plugin_that_is_gone_says_so(place: Place, kept: KeptTasks) -> None:
    kept.add(a_task(1, plugin="gone", sample=str(place.sample())))
    assert_says(place.malbox("retry", "1"), 2, "has no plugin 'gone'")


def test_prune_removes_what_ended_long_ago(place: Place, kept: KeptTasks) -> None:
    old = {"added_at": NOW - 90000, "started_at": NOW - 90000, "ended_at": NOW - 90000}
    kept.add(a_task(1, **old), a_task(2, **old), results=[json_result(1, "facts", {"size": 8})])
    kept.add(a_task(3))

    would = place.malbox("prune", "--older-than", "1d", "--dry-run")
    assert (would.code, would.out.partition(",")[0]) == (0, "would remove 2 tasks with 2 results")
    assert numbers(place.malbox("tasks", "--json")) == [3, 2, 1]
    assert would.out.startswith("would remove 2 tasks with 2 results, ")

    (pruned,) = place.malbox("prune", "--older-than", "1d", "--json").records
    assert (pruned["tasks"], pruned["results"], pruned["dry_run"]) == (2, 2, False)
    assert numbers(place.malbox("tasks", "--json")) == [3]
    assert place.malbox("prune", "--older-than", "1d").out.startswith("removed 0 tasks with 0 results")
