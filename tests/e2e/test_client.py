"""malbox from Python, blocking and awaited, against real supervisors and plugins."""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from e2e_harness import PLUGINS, eventually

import malbox_cli.client
from malbox_cli.client import (
    Accepted,
    Ended,
    MalboxError,
    ManifestError,
    NoSuchTask,
    NoSupervisor,
    NotReady,
    Outcome,
    Progress,
    Record,
    RequestDenied,
    Result,
    SupervisorLost,
    SupervisorSilent,
    TaskRefused,
    TaskState,
    TaskWarning,
    connect,
    connect_async,
    content_of,
    history,
    json_of,
    running,
    running_async,
)
from malbox_cli.supervisor.ownership import find_owner

READY_SECONDS = 60.0


def write_manifest(folder: Path, *plugins: str, keys: str = "") -> Path:
    tables = [f'[plugins.{name}]\npath = "{PLUGINS / name}"\n{keys}' for name in plugins]
    path = folder / "plugins.toml"
    path.write_text('[malbox]\nstop_timeout = "4s"\n' + "\n".join(tables))
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path, "echo")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample"
    path.write_bytes(b"a sample")
    return path


def test_a_supervisor_is_there_for_the_block_and_what_it_found_afterwards_too(manifest: Path, sample: Path) -> None:
    with running(manifest, timeout=READY_SECONDS) as malbox:
        assert [plugin.state for plugin in malbox.status().plugins] == ["READY"]
        task = malbox.submit("echo", sample, config={"stat": "", "sizes": "5", "progress": "1", "warn": "careful"})
        records = list(task)
        assert task.wait() is task.ended
        number = task.number
        results = malbox.results(number)

    assert [type(record) for record in records] == [Accepted, Progress, TaskWarning, Result, Result, Ended]
    assert records[-1] == task.ended
    assert json_of(results[0]) == {"size": 8}
    assert len(content_of(results[1])) == 5
    assert find_owner(manifest.parent / ".malbox") is None
    with history(manifest) as tasks:
        assert [row.task for row in tasks.tasks(states=[TaskState.COMPLETED])] == [number]
        shown = tasks.show(number)
        assert shown.task.state is TaskState.COMPLETED
        assert [each.outcome for each in shown.attempts] == ["completed"]
        assert [each.name for each in shown.results] == ["stat", "bytes-5"]
        assert [note.text for note in shown.notes] == ["careful"]
        with pytest.raises(NoSuchTask):
            tasks.show(number + 1)


def test_one_that_runs_is_joined_and_left_as_it_is(manifest: Path, sample: Path) -> None:
    with running(manifest, timeout=READY_SECONDS) as malbox:
        with running(manifest) as other:
            assert other.pid == malbox.pid
            assert other.submit("echo", sample).wait().outcome is Outcome.COMPLETED
        assert malbox.status().pid == malbox.pid


def test_a_plugin_that_does_not_get_ready_is_named_and_nothing_goes_on(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, "echo", "fails_on_start")
    with pytest.raises(NotReady, match="plugin fails_on_start is FAILED: "), running(manifest):
        raise AssertionError("it is not ready")
    assert find_owner(tmp_path / ".malbox") is None


def test_a_supervisor_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_text("[plugins.x]\npath = 'nowhere'\n")
    with pytest.raises(ManifestError, match="nowhere"), running(tmp_path / "plugins.toml"):
        raise AssertionError("there is nothing to run")


def test_without_a_supervisor_connecting_says_how_to_start_one(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALBOX_MANIFEST", str(manifest))
    with pytest.raises(NoSupervisor, match="malbox up -f"):
        connect()
    with pytest.raises(NoSupervisor, match="malbox up -f"):
        connect_async()


def test_tasks_are_cancelled_by_hand_by_number_and_with_their_client(manifest: Path, sample: Path) -> None:
    never = {"until": str(manifest.parent / "never")}
    with running(manifest, timeout=READY_SECONDS) as malbox:
        with malbox.submit("echo", sample, config=never) as task:
            task.cancel()
            assert task.wait().outcome is Outcome.CANCELED
        by_number = malbox.submit("echo", sample, config=never)
        with connect(manifest) as other:
            assert other.cancel(by_number.number).outcome is Outcome.CANCELED
            assert other.cancel(by_number.number).outcome is Outcome.CANCELED  # it was over
            with pytest.raises(NoSuchTask):
                other.cancel(4711)
            left = other.submit("echo", sample, config=never).number
            detached = other.submit("echo", sample, config=never, detach=True).number
        assert by_number.wait().outcome is Outcome.CANCELED
        state = eventually(lambda: (row := malbox.show(left).task).state.is_final and row.state, "it was cancelled")
        assert state is TaskState.CANCELED
        assert not malbox.show(detached).task.state.is_final
        with malbox.join(detached) as joined:  # which does not end it
            assert joined.plugin == "echo"
        assert not malbox.show(detached).task.state.is_final
        assert malbox.cancel(detached).outcome is Outcome.CANCELED
        with pytest.raises(RequestDenied):
            malbox.join(detached)


def test_what_is_not_taken_is_refused_with_the_reason(tmp_path: Path, sample: Path) -> None:
    manifest = write_manifest(tmp_path, "echo", keys="queue_size = 1")
    never = {"until": str(tmp_path / "never")}
    with running(manifest, timeout=READY_SECONDS) as malbox:
        with pytest.raises(TaskRefused, match="nobody refused the task: "):
            malbox.submit("nobody", sample)
        first = malbox.submit("echo", sample, config=never)
        next(record for record in first if isinstance(record, Progress))  # it runs
        malbox.submit("echo", sample)
        with pytest.raises(TaskRefused, match="full") as refused:
            malbox.submit("echo", sample)
        assert refused.value.record.plugin == "echo"


def test_who_comes_late_is_told_the_whole_stream(manifest: Path, sample: Path) -> None:
    until = manifest.parent / "go"
    with running(manifest, timeout=READY_SECONDS) as malbox, connect(manifest) as other:
        task = malbox.submit("echo", sample, config={"until": str(until), "warn": "careful", "sizes": "3"})
        eventually(lambda: malbox.show(task.number).notes, "it has warned")
        told = []
        for record in other.follow(task.number):
            told.append(record)
            until.touch()
        assert [type(record) for record in told if not isinstance(record, Progress)] == [
            *(Accepted, TaskWarning, Result, Ended),
        ]
        assert [each for each in other.follow(task.number) if isinstance(each, Result)] == malbox.results(task.number)


def test_plugins_are_stopped_started_and_watched(manifest: Path) -> None:
    with running(manifest, timeout=READY_SECONDS) as malbox:
        assert malbox.change("restart", "e*") == ("echo",)
        assert malbox.wait_ready() == []
        assert malbox.change("stop", "echo") == ("echo",)
        states = (news.state for news in malbox.watch() if not hasattr(news, "plugins"))
        assert next(state for state in states if state in ("STOPPED", "EXITED"))
        (missed,) = malbox.wait_ready()
        assert missed.plugin == "echo"
        with pytest.raises(RequestDenied, match="nobody"):
            malbox.change("start", "nobody")
        assert malbox.reload().same == ("echo",)
        malbox.change("start", "echo")
        assert malbox.wait_ready("echo") == []


def test_a_supervisor_that_is_lost_is_told_of_and_its_task_is_not(manifest: Path, sample: Path) -> None:
    until = manifest.parent / "go"
    with running(manifest, timeout=READY_SECONDS) as malbox:
        task = malbox.submit("echo", sample, config={"until": str(until)}, detach=True)
        os.kill(malbox.pid, signal.SIGKILL)
        with pytest.raises(SupervisorLost):
            task.wait()
    until.touch()
    with running(manifest, timeout=READY_SECONDS) as malbox:
        assert list(malbox.follow(task.number))[-1] == malbox.cancel(task.number)
        assert malbox.show(task.number).task.state is TaskState.COMPLETED


def test_what_was_let_go_of_tells_nothing_more(manifest: Path, sample: Path) -> None:
    with running(manifest, timeout=READY_SECONDS) as malbox:
        task = malbox.submit("echo", sample, config={"until": str(manifest.parent / "never")})
        task.close()
        task.cancel()  # it is
        assert list(task) == []
        with pytest.raises(MalboxError, match=f"task {task.number} was let go of before its end"):
            task.wait()


def test_an_answer_that_comes_too_late_is_not_the_next_one_s(manifest: Path) -> None:
    with running(manifest, timeout=READY_SECONDS) as malbox, connect(manifest, timeout=0.2) as other:
        os.kill(malbox.pid, signal.SIGSTOP)
        try:
            with pytest.raises(SupervisorSilent, match="it was stopped"):
                other.reload()
            with pytest.raises(SupervisorSilent):
                asyncio.run(ask_in_vain(manifest))
        finally:
            os.kill(malbox.pid, signal.SIGCONT)
        assert malbox.status().pid == malbox.pid
        assert connect_and_ask(manifest) == other.status().pid == malbox.pid


def connect_and_ask(manifest: Path) -> int:
    with connect(manifest) as malbox:
        return malbox.status().pid


async def ask_in_vain(manifest: Path) -> None:
    async with connect_async(manifest, timeout=0.2) as malbox:
        await malbox.status()


def test_all_of_it_can_be_awaited(manifest: Path, sample: Path) -> None:
    never = {"until": str(manifest.parent / "never")}

    async def use() -> None:
        async with running_async(manifest, timeout=READY_SECONDS) as malbox:
            assert [plugin.state for plugin in (await malbox.status()).plugins] == ["READY"]
            tasks = [await malbox.submit("echo", sample, config={"sizes": str(size)}) for size in range(1, 9)]
            ends = await asyncio.gather(*(task.wait() for task in tasks))
            assert {end.outcome for end in ends} == {Outcome.COMPLETED}
            sizes = [[each.size for each in await malbox.results(task.number)] for task in tasks]
            assert sizes == [[size] for size in range(1, 9)]

            with pytest.raises(TaskRefused):
                await malbox.submit("nobody", sample)
            async with await malbox.submit("echo", sample, config=never) as task:
                assert [type(record) async for record in take(task, 2)] == [Accepted, Progress]
                await task.cancel()
                assert (await task.wait()).outcome is Outcome.CANCELED
            detached = await malbox.submit("echo", sample, config={**never, "warn": "careful"}, detach=True)
            detached.close()
            ended = asyncio.create_task(malbox.cancel(detached.number))
            told = [record async for record in malbox.follow(detached.number)]
            assert told[-1] == await ended
            with pytest.raises(NoSuchTask):
                await malbox.cancel(4711)
            assert (await malbox.show(detached.number)).task.state is TaskState.CANCELED
            assert len(await malbox.tasks(states=[TaskState.COMPLETED])) == len(tasks)

            assert await malbox.change("restart", "echo") == ("echo",)
            assert await malbox.wait_ready() == []
            assert (await malbox.reload()).same == ("echo",)
            async with connect_async(manifest) as other:
                assert (await other.status()).pid == malbox.pid

    asyncio.run(use())
    assert find_owner(manifest.parent / ".malbox") is None


async def take(records: malbox_cli.client.AsyncTask, count: int) -> AsyncIterator[Record]:
    async for record in records:
        yield record
        count -= 1
        if not count:
            return


def test_a_question_that_is_given_up_does_not_answer_the_next(manifest: Path) -> None:
    async def use() -> None:
        async with running_async(manifest, timeout=READY_SECONDS) as malbox:
            asking = asyncio.create_task(malbox.change("restart", "echo"))
            await asyncio.sleep(0)  # it has asked
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (await malbox.status()).pid == malbox.pid
            questions = (malbox.status(), malbox.reload(), malbox.status())
            first, second, third = await asyncio.gather(*questions)
            assert (first.pid, second.same, third.pid) == (malbox.pid, ("echo",), malbox.pid)

    asyncio.run(use())


def test_a_lost_supervisor_is_told_of_to_those_who_await_too(manifest: Path, sample: Path) -> None:
    async def use() -> None:
        async with running_async(manifest, timeout=READY_SECONDS) as malbox:
            task = await malbox.submit("echo", sample, config={"until": str(manifest.parent / "never")})
            os.kill(malbox.pid, signal.SIGKILL)
            await task.wait()

    with pytest.raises(SupervisorLost):
        asyncio.run(use())


def test_every_public_name_is_there_and_has_words() -> None:
    for name in malbox_cli.client.__all__:
        assert getattr(malbox_cli.client, name).__doc__ or name in ("News", "Record")
    assert set(dir(malbox_cli.client)) == set(malbox_cli.client.__all__)


@pytest.mark.parametrize("kind", ["Client", "Task", "AsyncClient", "AsyncTask", "History"])
def test_every_public_method_shows_how_it_is_used(kind: str) -> None:
    members = vars(getattr(malbox_cli.client, kind))
    lacking = [
        name
        for name, member in members.items()
        if callable(member)
        and not name.startswith("_")
        and name != "close"
        and "\n    " not in inspect.cleandoc(member.__doc__ or "")
    ]
    assert not lacking


def test_who_connects_does_not_load_what_it_does_not_need() -> None:
    heavy = "{'asyncio', 'sqlite3', 'click', 'rich', 'iceoryx2'}"
    code = f"import sys; from malbox_cli.client import connect; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
