"""Plugins that get each other's results, with a real supervisor and real processes."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
from e2e_harness import PLUGINS, Place, eventually

PATIENCE_OF_PUBLISHER = 1.0
"""Seconds that a push waits for subscribers at most."""


class Chained:
    """A manifest of plugins that write down what they get."""

    def __init__(self, place: Place, **plugins: dict[str, Any]) -> None:
        self.place = place
        path = str(PLUGINS / "chains")
        tables = {
            name: {**keys, "path": path, "config": {"log": str(place.folder / f"{name}.log"), **keys.get("config", {})}}
            for name, keys in plugins.items()
        }
        self.manifest: Path = place.manifest(**tables)

    def said(self, plugin: str) -> list[dict[str, Any]]:
        log = self.place.folder / f"{plugin}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def got(self, plugin: str) -> list[dict[str, Any]]:
        return [one for one in self.said(plugin) if one.get("kind") == "PluginResultAvailable"]

    def push(self, plugin: str, *, count: int = 1, size: int = 10) -> dict[str, Any]:
        """Have a plugin push results; return what it says of it."""
        sets = ("--set", f"count={count}", "--set", f"size={size}")
        done = self.place.send(self.manifest, plugin, self.place.sample(), *sets)
        assert done.code == 0, done
        assert len(done.of("result")) == count
        return next(one for one in reversed(self.said(plugin)) if "pushed" in one)

    def pid(self, plugin: str) -> int:
        pid: int = self.place.plugin_status(self.manifest, plugin)["pid"]
        return pid


def test_results_go_through_a_chain_of_three(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"], "config": {"passes_on": "yes"}}, c={"subscribe": ["b"]}, d={})
    with place.up(chained.manifest):
        chained.push("a", count=5)
        chained.push("a", size=20 << 20)
        eventually(lambda: len(chained.got("c")) == 6, "everything reaches the third")
        assert [one["name"] for one in chained.got("b")] == [*(f"result-{n}" for n in range(5)), "result-0"]
        assert [(one["source"], one["id"], one["missed"]) for one in chained.got("c")] == [
            *[("b", 1, 0)] * 5,
            ("b", 2, 0),
        ]
        assert [one["size"] for one in chained.got("c")] == [10] * 5 + [20 << 20]
        assert chained.got("d") == []


def test_a_subscriber_hears_every_instance_and_each_instance_hears(place: Place) -> None:
    chained = Chained(place, a={"instances": 2}, b={"subscribe": ["a"], "instances": 2})
    with place.up(chained.manifest, ready=["a-1", "a-2", "b-1", "b-2"]):
        for _ in range(2):
            chained.push("a", count=3)
        eventually(lambda: len(chained.got("b")) == 12, "both get all of both")
        assert {one["source"] for one in chained.got("b")} == {"a"}
        assert len({one["pid"] for one in chained.got("b")}) == 2


def test_a_stopped_subscriber_holds_up_nobody_and_learns_what_it_missed(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"]}, c={"subscribe": ["a"]})
    with place.up(chained.manifest):
        chained.push("a")
        eventually(lambda: chained.got("b") and chained.got("c"), "both are there")
        os.kill(stopped := chained.pid("b"), signal.SIGSTOP)
        try:
            first = chained.push("a", count=200)
            second = chained.push("a", count=200)
            eventually(lambda: len(chained.got("c")) == 401, "the other one gets all")
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert sum(one["missed"] for one in chained.got("c")) == 0
        # One wait, in the first; how long 200 results take without one depends on the machine.
        assert first["seconds"] + second["seconds"] < PATIENCE_OF_PUBLISHER + 10
        eventually(lambda: len(chained.got("b")) >= 12, "it takes what had found room")
        chained.push("a")
        eventually(lambda: sum(1 + one["missed"] for one in chained.got("b")) == 402, "it knows of all")
        assert chained.got("b")[-1]["missed"] > 0


def test_a_killed_subscriber_comes_again_and_hears_on(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"], "restart": "always"})
    with place.up(chained.manifest, code=1):
        chained.push("a")
        eventually(lambda: chained.got("b"), "the first hears")
        os.kill(killed := chained.pid("b"), signal.SIGKILL)
        eventually(lambda: chained.pid("b") not in (None, killed), "it comes again")
        eventually(lambda: place.plugin_status(chained.manifest, "b")["state"] == "READY", "it is READY")
        chained.push("a", count=50)
        eventually(lambda: chained.got("b")[-1]["name"] == "result-49", "the second hears on")
        later = [one for one in chained.got("b") if one["pid"] != killed]
        assert len(later) == 50
        assert [one["missed"] for one in later] == [1] + [0] * 49


def test_a_killed_publisher_comes_again_and_is_heard(place: Place) -> None:
    chained = Chained(place, a={"restart": "always"}, b={"subscribe": ["a"]})
    with place.up(chained.manifest, code=1):
        chained.push("a")
        eventually(lambda: chained.got("b"), "it hears the first")
        os.kill(killed := chained.pid("a"), signal.SIGKILL)
        eventually(lambda: chained.pid("a") not in (None, killed), "it comes again")
        chained.push("a", count=50)
        eventually(lambda: len(chained.got("b")) == 51, "it hears the second")
        assert sum(one["missed"] for one in chained.got("b")) == 0


def test_a_run_tells_when_a_sample_is_done_and_ends_after_what_was_published(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"]})
    samples = [place.sample(name=name) for name in ("one", "two")]
    done = place.run(chained.manifest, *samples)
    assert done.code == 0, done
    kinds = [
        (one["kind"], one["id"]) for one in chained.said("b") if "kind" in one and one["kind"].startswith("Sample")
    ]
    assert sorted(kinds) == [("SampleStarted", 1), ("SampleStarted", 2), ("SampleStopped", 1), ("SampleStopped", 2)]
    assert all(kinds.index(("SampleStarted", n)) < kinds.index(("SampleStopped", n)) for n in (1, 2))
    assert len(chained.got("b")) == 2


def test_what_subscribes_to_plugins_that_do_not_run_leaves_nothing_when_it_is_killed(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"]}, c={"subscribe": ["a"]})
    with place.up(chained.manifest, "b", "c", ready=["b", "c"], code=1):
        os.kill(chained.pid("b"), signal.SIGKILL)
        eventually(lambda: place.plugin_status(chained.manifest, "b")["state"] == "FAILED", "it is seen to have died")


def test_ten_thousand_results_do_not_grow_a_subscriber(place: Place) -> None:
    chained = Chained(place, a={}, b={"subscribe": ["a"], "config": {"passes_on": "yes"}}, c={"subscribe": ["b"]})
    with place.up(chained.manifest):
        chained.push("a", count=1000, size=1024)
        eventually(lambda: len(chained.got("c")) == 1000, "all arrive")
        pids = [chained.pid(plugin) for plugin in "bc"]
        before = [psutil.Process(pid).memory_info().rss for pid in pids]
        for _ in range(3):
            chained.push("a", count=3000, size=1024)
        eventually(lambda: sum(1 + one["missed"] for one in chained.got("c")) == 10_000, "all are accounted for")
        after = [psutil.Process(pid).memory_info().rss for pid in pids]
    assert all(later - earlier < 8 << 20 for earlier, later in zip(before, after, strict=True))
