"""`malbox retry --debug`: a task under pdb, in the foreground of a terminal."""

import json
import os
from pathlib import Path

import pytest
from e2e_harness import Place
from kept_tasks import KeptTasks, a_task
from terminals import Terminal

PROMPT = "(Pdb) "
ASYNC_PLUGIN = """
import asyncio
import plugin_runtime as malbox


class Waits(malbox.Plugin):
    async def on_start(self, config):
        self.queue = asyncio.Queue()
        self.start = config

    async def on_task(self, ctx):
        await asyncio.sleep(0)
        answer = 41
        answer += 1
        await self.queue.put(answer)
        ctx.warn("careful")
        ctx.progress(0.5, "half of it")
        ctx.results().push(malbox.PluginResult.json("answer", {"n": await self.queue.get(), "start": self.start}))
        ctx.results().push(malbox.PluginResult.bytes("blob", b"x" * 300000))

    async def on_stop(self):
        print("stopped in", __file__)


malbox.run(Waits())
"""


@pytest.fixture
def kept(place: Place) -> KeptTasks:
    return KeptTasks(place.folder / ".malbox")


def keep(place: Place, kept: KeptTasks, plugin: str, **config: str) -> None:
    kept.add(a_task(1, plugin=plugin, sample=str(place.sample()), config=config))


def debug(place: Place, *typed: str, **more: str) -> tuple[int, str, str]:
    """Run task 1 under the debugger with the commands typed from a pipe."""
    reader, writer = os.pipe()
    os.write(writer, "".join(f"{line}\n" for line in typed).encode())
    os.close(writer)
    try:
        done = place.malbox("retry", "--debug", "1", stdin=reader, env=more)
    finally:
        os.close(reader)
    return done.code, done.out, done.err


def test_it_stops_where_on_task_begins_and_goes_on_in_a_terminal(place: Place, kept: KeptTasks) -> None:
    place.manifest("echo")
    keep(place, kept, "echo", warn="careful", config="1")
    with Terminal(place, "retry", "--debug", "1") as terminal:
        terminal.wait_for(PROMPT)
        assert "-> task = ctx.task()" in terminal.shown
        terminal.type("n\n")
        terminal.wait_for(PROMPT, 2)
        terminal.type("p task.sample_path.name\n")
        terminal.wait_for("'sample'")
        terminal.type("c\n")
        assert terminal.wait() == 0
    assert "[malbox] warning: careful" in terminal.shown
    assert "[malbox] result 'config'" in terminal.shown
    assert "[malbox] on_task returned; it pushed 1 result\r\n" in terminal.shown


def test_ctrl_c_stops_a_task_that_goes_on_where_it_is(place: Place, kept: KeptTasks) -> None:
    place.manifest("echo", echo={"task_timeout": "100ms"})
    keep(place, kept, "echo", until=str(place.folder / "go"))
    with Terminal(place, "retry", "--debug", "1") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("c\n")
        terminal.wait_for("50% waiting")
        terminal.type("\x03")
        terminal.wait_for(PROMPT, 2)
        terminal.type("p 40 + 2\n")
        terminal.wait_for("\n42\r")
        (place.folder / "go").touch()
        terminal.type("c\n")
        assert terminal.wait() == 0
    assert "Traceback" not in terminal.shown


def test_it_stops_again_where_on_task_raises(place: Place, kept: KeptTasks) -> None:
    place.manifest("raises")
    keep(place, kept, "raises")
    code, out, err = debug(place, "c", "p type(ctx).__name__", "q")

    assert code == 1
    assert 'raised: Traceback (most recent call last):\n  File "' in out
    assert "ValueError: the header has no magic" in out
    assert out.count("-> raise ValueError") == 1
    assert "'Context'" in out
    assert "malbox_cli" not in out + err
    assert "plugin_runtime" not in out + err


def test_an_async_plugin_is_stepped_through_across_its_awaits(place: Place, kept: KeptTasks) -> None:
    (place.folder / "waits.py").write_text(ASYNC_PLUGIN)
    place.manifest(waits={"command": ["{python}", "waits.py"], "config": {"a": "b"}, "inherit_env": False})
    keep(place, kept, "waits")
    code, out, err = debug(place, "n", "n", "n", "p answer", "c")

    assert code == 0, out + err
    assert f"{PROMPT}42\n" in out
    assert "[malbox] warning: careful\n[malbox]  50% half of it\n" in out
    assert (
        "[malbox] result 'answer', 26 bytes: " + json.dumps({"n": 42, "start": {"a": "b"}}, separators=(",", ":"))
        in out
    )
    assert "[malbox] result 'blob', 300000 bytes\n" in out
    assert out.endswith(f"stopped in {place.folder}/waits.py\n")


def test_leaving_the_debugger_ends_the_task(place: Place, kept: KeptTasks) -> None:
    place.manifest("echo")
    keep(place, kept, "echo", config="1")
    code, out, _ = debug(place, "q")
    assert code == 1
    assert out.endswith("[malbox] on_task: the debugger was left\n")


def test_a_plugin_that_does_not_start_is_looked_at_where_it_raised(place: Place, kept: KeptTasks) -> None:
    place.manifest("fails_on_start")
    keep(place, kept, "fails_on_start")
    code, out, _ = debug(place, "q")
    assert code == 1
    assert "[malbox] on_start raised: Traceback" in out


def test_nothing_of_it_is_kept(place: Place, kept: KeptTasks) -> None:
    place.manifest("echo")
    keep(place, kept, "echo", config="1")
    assert debug(place, "c")[0] == 0
    assert [task["task"] for task in place.malbox("tasks", "--json").records] == [1]
    assert sorted(path.name for path in (place.folder / ".malbox").iterdir() if "ledger" not in path.name) == []


@pytest.mark.parametrize("script", ["/bin/sh", "./plugin.sh"])
def test_a_program_that_is_no_python_is_refused(place: Place, kept: KeptTasks, script: str) -> None:
    path = place.folder / "plugin.sh"
    path.write_text("#!/bin/sh\nexec sleep 100\n")
    path.chmod(0o755)
    place.manifest(shell={"command": [script]})
    keep(place, kept, "shell")
    code, out, err = debug(place)
    program = script.replace("./", f"{place.folder}/")
    assert (code, out) == (1, "")
    assert err == f"malbox: plugin shell runs {program}, which is no Python program: pdb cannot debug it\n"


def test_a_script_that_names_a_python_is_one(place: Place, kept: KeptTasks) -> None:
    import sys

    path = place.folder / "waits"
    path.write_text(f"#!{sys.executable}\n{ASYNC_PLUGIN}")
    path.chmod(0o755)
    place.manifest(waits={"command": ["./waits"]})
    keep(place, kept, "waits")
    assert debug(place, "c")[0] == 0


def test_a_task_that_runs_can_be_debugged_beside(place: Place, kept: KeptTasks) -> None:
    from malbox_cli.store.task_states import TaskState

    place.manifest("echo")
    kept.add(a_task(1, sample=str(place.sample()), state=TaskState.RUNNING))
    assert debug(place, "c")[0] == 0


def test_the_task_in_the_environment_has_to_make_sense(place: Place) -> None:
    (place.folder / "waits.py").write_text(ASYNC_PLUGIN)
    place.manifest(waits={"command": ["{python}", "waits.py"], "env": {}})
    environment = {"MALBOX_PLUGIN_ID": "p", "MALBOX_PROTOCOL": "1", "MALBOX_SUPERVISOR_PID": "1"}
    import sys

    done = place.malbox(argv=[sys.executable, str(Path("waits.py"))], env={**environment, "MALBOX_DEBUG": "{"})
    assert done.code == 1
    assert done.err == "waits.py: MALBOX_DEBUG is not what `malbox retry --debug` sets\n"
