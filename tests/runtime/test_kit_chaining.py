"""The test kit for plugins that get each other's results."""

from pathlib import Path

import pytest

from plugin_runtime import Context, Event, Plugin, PluginResult
from plugin_runtime.testing import PluginTester

BIG = bytes(20 << 20)


class Middle(Plugin):
    """Passes on what it gets, and pushes in its tasks."""

    def on_event(self, event: Event) -> None:
        event.results().push_bytes(f"{event.source}-{event.result_name}-{event.id}", event.data())

    def on_task(self, ctx: Context) -> None:
        ctx.results().push_json("own", b"[]")


def test_results_of_others_arrive_and_what_is_passed_on_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)
    with PluginTester(Middle(), subscribe=["a", "b"]) as tester:
        tester.result_of("a", PluginResult.json("x", [1]), task_id=7)
        tester.result_of("b", PluginResult.file("big", str(file)))
        assert tester.run(b"").names == ["own"]
    assert [(one.name, one.format, one.data) for one in tester.passed_on] == [
        ("a-x-7", "bytes", b"[1]"),
        ("b-big-1", "bytes", BIG),
        ("own", "json", b"[]"),
    ]
    assert tester.events == []


def test_a_plugin_that_is_not_subscribed_to_is_refused() -> None:
    with PluginTester(Middle()) as tester, pytest.raises(ValueError, match="subscribe"):
        tester.result_of("a", PluginResult.json("x", 1))
    with PluginTester(Middle(), subscribe=["a"]) as tester, pytest.raises(ValueError, match="subscribe"):
        tester.result_of("b", PluginResult.json("x", 1))


def test_what_on_event_raises_is_raised_in_the_test() -> None:
    class Fails(Plugin):
        def on_event(self, event: Event) -> None:
            raise RuntimeError(event.json())

    with PluginTester(Fails(), subscribe=["a"]) as tester, pytest.raises(RuntimeError, match="seven"):
        tester.result_of("a", PluginResult.json("x", "seven"))
