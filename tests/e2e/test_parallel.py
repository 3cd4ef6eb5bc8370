"""One process of a plugin that works on several tasks at once."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from e2e_harness import Place, Running, eventually

MANY = 4
PARALLEL = {"execution": "parallel", "concurrency": MANY}


def waiting(place: Place, manifest: Path, count: int, until: Path) -> list[Running]:
    """Send so many tasks that wait for a file, and wait until they all run."""
    sample = place.sample()
    tasks = [
        place.start("send-task", "echo", sample, "--manifest", manifest, "--json", "--set", f"until={until}")
        for _ in range(count)
    ]
    for task in tasks:
        task.wait_for('"waiting"')
    return tasks


def test_it_works_on_so_many_at_once_and_one_that_streams_goes_by_those_that_wait(place: Place) -> None:
    manifest = place.manifest(echo=PARALLEL)
    until = place.folder / "until"
    with place.up(manifest):
        tasks = waiting(place, manifest, MANY - 1, until)
        for _ in range(3):
            done = place.send(manifest, "echo", place.sample(), "--set", "sizes=5000000,10")
            assert (done.code, len(done.of("result"))) == (0, 2)
        until.touch()
        assert [task.wait().code for task in tasks] == [0] * (MANY - 1)


def test_ctrl_c_cancels_one_and_no_other(place: Place) -> None:
    manifest = place.manifest(echo=PARALLEL)
    until = place.folder / "until"
    with place.up(manifest):
        tasks = waiting(place, manifest, MANY, until)
        tasks[1].signal(signal.SIGINT)
        assert tasks.pop(1).wait().code == 130
        until.touch()
        assert [task.wait().code for task in tasks] == [0] * (MANY - 1)


def test_a_crash_takes_all_of_them_with_it_and_each_is_tried_again(place: Place) -> None:
    manifest = place.manifest(echo={**PARALLEL, "restart": "always"})
    until = place.folder / "until"
    with place.up(manifest, code=1):
        tasks = waiting(place, manifest, MANY, until)
        first: dict[str, Any] = place.plugin_status(manifest, "echo")
        until.touch()
        os.kill(first["pid"], signal.SIGKILL)
        ends = [task.wait() for task in tasks]
        assert len({done.end["task"] for done in ends}) == MANY
        assert [done.code for done in ends] == [0] * MANY
        eventually(lambda: place.plugin_status(manifest, "echo")["state"] == "READY", "it is READY again")
        assert place.plugin_status(manifest, "echo")["pid"] != first["pid"]


def test_doctor_counts_the_shared_memory_of_a_plugin_with_many(place: Place) -> None:
    def said(concurrency: int) -> str:
        manifest = place.manifest(echo={"execution": "parallel", "concurrency": concurrency})
        checks = json.loads(place.malbox("doctor", "-f", manifest, "--json").out)["checks"]
        return next(str(check["message"]) for check in checks if check["name"] == "shared memory")

    assert said(1).endswith("1 plugin(s) take 1.4 MiB")
    assert said(32).endswith("1 plugin(s) take 9.7 MiB")
