"""The test kit, as a plugin's author uses it."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import plugin_runtime as malbox
from plugin_runtime.testing import MalboxPlugin, PluginTester, RunPlugin


class Hello(malbox.Plugin):
    """Pushes one of everything."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_start(self, config: dict[str, str]) -> None:
        self.calls.append(config)

    def on_stop(self) -> None:
        self.calls.append("stop")

    def on_event(self, event: malbox.Event) -> None:
        self.calls.append(event)

    def on_task(self, ctx: malbox.Context) -> None:
        data = ctx.task().sample_bytes()
        ctx.progress(0.5, "half")
        ctx.warn("look out")
        ctx.emit_event(malbox.Event.sample_result_produced(7))
        ctx.results().push(malbox.PluginResult.json("size", {"bytes": len(data)}))
        ctx.results().push_bytes("head", data[:4])
        ctx.results().push(
            malbox.ReportBuilder("hello", "1.0.0")
            .verdict(malbox.Classification.Malicious, 90, malbox.Confidence.High)
            .labels(["dropper"])
            .indicator(malbox.Indicator("sha256", "ab" * 32))
            .ttp(malbox.Ttp("T1055", "Process Injection"))
            .artifact(malbox.ArtifactRef("head", "bytes"))
            .section("one", "One", [malbox.Block.divider()])
            .summary("bad")
            .raw({"a": [1]})
            .build()
        )


class Does(malbox.Plugin):
    """Does in `on_task` what a test gives it."""

    def __init__(self, on_task: Any) -> None:
        self._on_task = on_task

    def on_task(self, ctx: malbox.Context) -> Any:
        return self._on_task(ctx)


def test_what_a_handler_sends_arrives_as_objects(run_plugin: RunPlugin) -> None:
    plugin = Hello()

    done = run_plugin(plugin, b"MZ\x90\x00 and more", config={"depth": "2"})

    assert done.outcome == "completed"
    assert done.error is None
    assert done.exception is None
    assert done.names == ["size", "head", "report"]
    assert done.result("size").json() == {"bytes": 13}
    assert done.result("head").data == b"MZ\x90\x00"
    assert done.progress == [(0.5, "half")]
    assert done.warnings == ["look out"]
    assert done.events == [malbox.Event.sample_result_produced(7)]
    assert plugin.calls == [{"depth": "2"}, "stop"]
    assert not done.sample.exists()


def test_a_report_arrives_as_what_it_was_built_of(run_plugin: RunPlugin) -> None:
    report = run_plugin(Hello(), b"x").report

    assert report is not None
    assert report.classification is malbox.Classification.Malicious
    assert (report.score, report.confidence) == (90, malbox.Confidence.High)
    assert report.labels == ("dropper",)
    assert report.indicators == (malbox.Indicator("sha256", "ab" * 32),)
    assert report.ttps == (malbox.Ttp("T1055", "Process Injection"),)
    assert report.artifacts == (malbox.ArtifactRef("head", "bytes"),)
    assert report.sections[0].blocks == ({"type": "divider"},)
    assert (report.plugin_id, report.plugin_version, report.summary) == ("hello", "1.0.0", "bad")
    assert report.raw == {"a": [1]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2"),
        ({"schema_version": 1}, "has no 'plugin'"),
        ([], "no report"),
        ({"schema_version": 1, "plugin": {"id": "a", "version": "1"}, "verdict": {"classification": "odd"}}, "odd"),
    ],
)
def test_what_is_called_a_report_and_is_none_says_why(run_plugin: RunPlugin, value: Any, message: str) -> None:
    done = run_plugin(Does(lambda ctx: ctx.results().push(malbox.PluginResult.json("report", value))), b"")

    with pytest.raises(ValueError, match=message):
        _ = done.report


def test_a_task_without_a_report_has_none(run_plugin: RunPlugin) -> None:
    assert run_plugin(Does(lambda _: None), b"").report is None


def test_a_handler_that_raises_fails_the_task_with_its_exception(run_plugin: RunPlugin) -> None:
    def on_task(ctx: malbox.Context) -> None:
        ctx.results().push_bytes("first", b"1")
        raise KeyError("section")

    done = run_plugin(Does(on_task), b"")

    assert done.outcome == "failed"
    assert isinstance(done.exception, KeyError)
    assert done.error is not None
    assert done.error.endswith("KeyError: 'section'")
    assert done.names == ["first"]
    with pytest.raises(LookupError, match=r"no result 'second' was pushed; there is 'first'(.|\n)*KeyError: 'section'"):
        done.result("second")


def test_an_async_handler_runs_too(run_plugin: RunPlugin) -> None:
    async def on_task(ctx: malbox.Context) -> None:
        await asyncio.sleep(0)
        ctx.results().push_json("a", b"1")

    async def fails(ctx: malbox.Context) -> None:
        raise ValueError(ctx.task().id)

    assert run_plugin(Does(on_task), b"").result("a").json() == 1
    assert isinstance(run_plugin(Does(fails), b"").exception, ValueError)


def test_a_sample_may_be_a_path_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, data in (("b", b"22"), ("a", b"1"), ("below/c", b"333")):
        (tmp_path / name).write_bytes(data)

    with PluginTester(Hello()) as tester:
        one = tester.run(tmp_path / "b", config={"k": "v"})
        named = tester.run(str(tmp_path / "a"))
        all_of_them = tester.run_folder(tmp_path)

    assert one.sample == tmp_path / "b"
    assert one.result("size").json() == {"bytes": 2}
    assert named.result("size").json() == {"bytes": 1}
    assert [run.result("size").json()["bytes"] for run in all_of_them] == [1, 2, 3]
    assert (tmp_path / "a").exists()


def test_a_sample_that_is_not_there_is_refused(malbox_plugin: MalboxPlugin, tmp_path: Path) -> None:
    tester = malbox_plugin(Hello())

    with pytest.raises(ValueError, match="there is no sample"):
        tester.run(tmp_path / "none")
    with pytest.raises(ValueError, match="is a folder: use run_folder"):
        tester.run(tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        tester.run_folder(tmp_path)


def test_a_class_is_no_plugin(run_plugin: RunPlugin) -> None:
    with pytest.raises(TypeError, match=r"write Hello\(\)"):
        run_plugin(Hello, b"")  # type: ignore[arg-type] # which is the point


def test_a_task_gets_its_config_on_top_of_the_plugins(malbox_plugin: MalboxPlugin) -> None:
    seen = []
    tester = malbox_plugin(Does(lambda ctx: seen.append(ctx.task().config)), config={"a": "1", "b": "1"})

    tester.run(b"", config={"b": "2"})
    tester.run(b"")

    assert seen == [{"a": "1", "b": "2"}, {"a": "1", "b": "1"}]


def test_a_large_file_goes_by_its_path_and_may_be_deleted_afterwards(run_plugin: RunPlugin, tmp_path: Path) -> None:
    def on_task(ctx: malbox.Context) -> None:
        for name, size in (("small", 10), ("large", 5000)):
            file = tmp_path / name
            file.write_bytes(b"x" * size)
            ctx.results().push_file(name, file)
            file.unlink()

    done = run_plugin(Does(on_task), b"", file_ref_threshold=4096)

    assert [(result.format, len(result.data)) for result in done.results] == [("bytes", 10), ("file", 5000)]
    assert done.result("large").path == tmp_path / "large"


def test_a_cancelled_task_is_canceled(malbox_plugin: MalboxPlugin) -> None:
    def on_task(ctx: malbox.Context) -> None:
        ctx.progress(0.1, "begun")
        while True:
            ctx.raise_if_cancelled()

    task = malbox_plugin(Does(on_task)).start(b"")
    task.until(lambda run: run.progress)
    assert task.so_far.outcome == "running"
    task.cancel()

    assert task.finish().outcome == "canceled"


def test_a_slow_supervisor_makes_a_push_wait(malbox_plugin: MalboxPlugin) -> None:
    pushed = []

    def on_task(ctx: malbox.Context) -> None:
        for number in range(10):
            ctx.results().push_bytes(str(number), b"")
            pushed.append(number)

    tester = malbox_plugin(Does(on_task))
    with tester.slow_supervisor():
        task = tester.start(b"")
        task.until(lambda run: len(run.results) == 4)
        with pytest.raises(TimeoutError, match="4 results"):
            task.until(lambda run: len(run.results) > 4, timeout=0.05)
        assert len(pushed) == 4

    assert len(task.finish().results) == 10


def test_a_task_that_waits_for_a_slow_supervisor_can_be_cancelled(malbox_plugin: MalboxPlugin) -> None:
    stopped = threading.Event()

    def on_task(ctx: malbox.Context) -> None:
        try:
            while True:
                ctx.results().push_bytes("more", b"")
        except malbox.TaskCancelled:
            stopped.set()
            raise

    tester = malbox_plugin(Does(on_task))
    with tester.slow_supervisor():
        task = tester.start(b"")
        task.until(lambda run: len(run.results) == 4)
        task.cancel()
        tester.until(stopped.is_set, "the handler to be told")

    assert task.finish().outcome == "canceled"


def test_an_event_is_handed_to_the_plugin(malbox_plugin: MalboxPlugin) -> None:
    plugin = Hello()
    tester = malbox_plugin(plugin)
    event = malbox.Event.plugin_result_available("yara", "matches")

    tester.event(event)

    assert plugin.calls[-1] == event


def test_what_on_event_raises_is_raised_in_the_test(malbox_plugin: MalboxPlugin) -> None:
    class Fails(malbox.Plugin):
        async def on_event(self, event: malbox.Event) -> None:
            raise LookupError(event.kind)

    tester = malbox_plugin(Fails())

    with pytest.raises(LookupError, match="ConfigReloaded"):
        tester.event(malbox.Event.config_reloaded())
    with pytest.raises(ValueError, match="end of the with block"):
        tester.event(malbox.Event.daemon_shutdown())
    assert tester.run(b"").outcome == "completed"


def test_every_event_of_a_plugin_arrives_however_many_there_are(run_plugin: RunPlugin) -> None:
    def on_task(ctx: malbox.Context) -> None:
        for number in range(200):
            ctx.emit_event(malbox.Event.sample_result_produced(number))

    assert [event.id for event in run_plugin(Does(on_task), b"").events] == list(range(200))


def test_what_on_start_and_on_stop_raise_is_raised_in_the_test(run_plugin: RunPlugin) -> None:
    class FailsFirst(malbox.Plugin):
        def on_start(self, config: dict[str, str]) -> None:
            raise KeyError(f"rules of {config}")

    class FailsLast(malbox.Plugin):
        async def on_stop(self) -> None:
            raise OSError("full")

    with pytest.raises(KeyError, match="rules of"):
        run_plugin(FailsFirst(), b"")
    with pytest.raises(OSError, match="full"):
        run_plugin(FailsLast(), b"")


def test_health_is_what_the_plugin_says(malbox_plugin: MalboxPlugin) -> None:
    class Sick(malbox.Plugin):
        def health_check(self) -> malbox.HealthStatus:
            return malbox.HealthStatus.Degraded("no rules")

    class Broken(malbox.Plugin):
        def health_check(self) -> malbox.HealthStatus:
            raise OSError("gone")

    assert malbox_plugin(Hello()).health() == malbox.HealthStatus.Healthy()
    assert malbox_plugin(Sick()).health() == malbox.HealthStatus.Degraded("no rules")
    broken = malbox_plugin(Broken()).health()
    assert broken.level == "unhealthy"
    assert "gone" in broken.reason


def test_several_tasks_run_at_once(malbox_plugin: MalboxPlugin) -> None:
    together = threading.Barrier(3)
    tester = malbox_plugin(Does(lambda _: together.wait(10)), concurrency=3)

    tasks = [tester.start(b"") for _ in range(3)]

    assert [task.finish().outcome for task in tasks] == ["completed"] * 3


def test_async_tasks_run_at_once_and_cancelling_one_cancels_its_asyncio_task(malbox_plugin: MalboxPlugin) -> None:
    async def on_task(ctx: malbox.Context) -> None:
        ctx.progress(0.1, "begun")
        if ctx.task().config_value("wait"):
            await asyncio.Event().wait()

    tester = malbox_plugin(Does(on_task), concurrency=2)
    waits = tester.start(b"", config={"wait": "1"})
    waits.until(lambda run: run.progress)
    assert tester.run(b"").outcome == "completed"
    waits.cancel()

    done = waits.finish()
    assert done.outcome == "canceled"
    assert isinstance(done.exception, asyncio.CancelledError)


def test_a_handler_that_does_not_return_is_told_of_and_does_not_keep_the_test() -> None:
    release = threading.Event()
    try:
        with (
            pytest.raises(TimeoutError, match=r"the end of task 1 after 0\.05 s"),
            PluginTester(Does(lambda _: release.wait(60))) as tester,
        ):
            tester.run(b"", timeout=0.05)
    finally:
        release.set()
        for thread in threading.enumerate():
            if thread.name == "malbox-handlers":
                thread.join(10)  # so that what it says now is caught


def test_a_wait_for_what_does_not_come_ends_with_the_task(malbox_plugin: MalboxPlugin) -> None:
    def fails(ctx: malbox.Context) -> None:
        raise OSError(ctx.task().id)

    task = malbox_plugin(Does(fails)).start(b"")

    with pytest.raises(RuntimeError, match=r"ended before that: task 1, failed(.|\n)*OSError: 1"):
        task.until(lambda run: run.progress)


def test_a_test_that_fails_leaves_with_its_own_error(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Hello()
    with pytest.raises(ZeroDivisionError), PluginTester(plugin):
        _ = 1 / 0
    assert plugin.calls[-1] == "stop"
    assert capsys.readouterr().err == ""


def test_the_kit_is_loaded_without_iceoryx2_and_the_fixtures_without_the_kit() -> None:
    code = (
        "import sys, plugin_runtime.pytest_plugin; print([n for n in sys.modules if n.startswith('plugin_runtime.')]);"
        "import plugin_runtime.testing; print('iceoryx2' in sys.modules, 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['plugin_runtime.pytest_plugin']\nFalse True\n"


def test_the_kit_needs_no_pytest() -> None:
    code = "import sys, plugin_runtime.testing; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_outside_of_its_block_a_tester_says_so() -> None:
    tester = PluginTester(Hello())
    with pytest.raises(RuntimeError, match="inside of its with block"):
        tester.run(b"")
    with tester:
        assert tester.run(b"").outcome == "completed"
    with pytest.raises(RuntimeError, match="inside of its with block"):
        tester.event(malbox.Event.config_reloaded())
    with pytest.raises(RuntimeError, match="make another one"), tester:
        pass


def test_ten_thousand_results_pass(run_plugin: RunPlugin) -> None:
    def on_task(ctx: malbox.Context) -> None:
        for number in range(10_000):
            ctx.results().push_bytes("n", number.to_bytes(4))

    done = run_plugin(Does(on_task), b"")

    assert [int.from_bytes(result.data) for result in done.results] == list(range(10_000))
