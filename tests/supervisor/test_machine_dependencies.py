"""Plugins that come after others: started once those are READY, stopped before them."""

import signal

import pytest
from histories import History, of, said, signals, spec

from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import AskStop, SendShutdown, SendTask, Spawn
from malbox_cli.supervisor.plugin_state import PluginState

TERM, CONT = signal.SIGTERM, signal.SIGCONT


def chain(**more: float) -> History:
    """a, then b, then c."""
    return History(spec("c", after=("b",)), spec("b", after=("a",)), spec("a"), **more)


def spawns(actions: object) -> list[str]:
    return [action.plugin_id for action in of(Spawn, actions)]  # type: ignore[arg-type] # a list of actions


def all_ready(*, extensions: tuple[str, ...] = ("stop",)) -> History:
    history = chain(stop_timeout=10.0)
    history.do(events.StartAsked())
    for plugin_id in "abc":
        history.spawned(plugin_id)
        history.started(plugin_id, extensions=extensions)
    return history


def test_each_is_started_once_the_one_before_is_ready() -> None:
    history = chain()
    assert spawns(history.do(events.StartAsked())) == ["a"]
    assert history.plugin("b").reason == "waits for a (PENDING)"
    history.spawned("a")
    assert spawns(history.actions) == ["a"]
    assert spawns(history.started("a")) == ["b"]
    history.spawned("b")
    assert spawns(history.started("b")) == ["c"]


def test_one_that_failed_skips_those_after_it_with_the_reason() -> None:
    history = chain()
    history.do(events.StartAsked())
    history.spawned("a")
    task = history.task("c")
    history.exited("a", code=4)
    assert history.state("b") is PluginState.FAILED
    assert history.plugin("b").reason.startswith(
        "was not started: it comes after a, which is FAILED: exited with code 4 before it was ready"
    )
    assert history.plugin("c").reason.startswith("was not started: it comes after b, which is FAILED: was not started:")
    assert "plugin c was not started" in (history.ended[task].error or "")
    assert history.machine.nothing_runs


def test_one_that_is_started_again_is_waited_for() -> None:
    history = History(spec("b", after=("a",)), spec("a", restart="on-failure"))
    history.do(events.StartAsked())
    history.spawned("a")
    history.exited("a", code=4)
    assert history.state("b") is PluginState.PENDING
    assert spawns(history.wait(1)) == ["a"]
    history.spawned("a")
    assert spawns(history.started("a")) == ["b"]


def test_a_start_by_name_starts_what_is_needed_first() -> None:
    history = chain()
    history.do(events.StartAsked())
    history.do(events.PluginsAsked("stop", ("a", "b", "c")))
    history.spawned("a")
    history.exited("a", signal=TERM)
    assert spawns(history.do(events.PluginsAsked("start", ("c",)))) == ["a"]
    assert history.state("b") is history.state("c") is PluginState.PENDING


def test_a_stop_begins_with_the_last_and_the_word_to_all_comes_when_nobody_is_to_wait() -> None:
    history = all_ready()
    assert of(AskStop, history.do(events.StopAsked("x"))) == [AskStop("c")]
    assert of(SendShutdown, history.actions) == []
    assert (history.state("c"), history.state("b")) == (PluginState.STOPPING, PluginState.READY)
    assert history.plugin("b").standing is PluginState.STOPPING
    assert history.plugin("b").reason == "is told to stop once those that come after it have ended"
    assert of(AskStop, history.exited("c", code=0)) == [AskStop("b")]
    actions = history.exited("b", code=0)
    assert of(SendShutdown, actions) == [SendShutdown()]
    history.exited("a", code=0)
    assert history.machine.has_ended


def test_one_that_cannot_be_told_alone_gets_sigterm_when_its_turn_comes() -> None:
    history = all_ready(extensions=())
    assert signals(history.do(events.StopAsked("x"))) == [("c", TERM), ("c", CONT)]
    assert signals(history.exited("c", signal=TERM)) == [("b", TERM), ("b", CONT)]
    assert of(SendShutdown, history.exited("b", signal=TERM)) == [SendShutdown()]


def test_a_kill_waits_for_no_turn() -> None:
    history = all_ready()
    history.do(events.StopAsked("x"))
    killed = {plugin_id for plugin_id, number in signals(history.do(events.KillAsked())) if number == signal.SIGKILL}
    assert killed == {"a", "b", "c"}


def test_a_stop_of_one_leaves_those_after_it_alone() -> None:
    history = all_ready()
    assert of(AskStop, history.do(events.PluginsAsked("stop", ("a",)))) == [AskStop("a")]
    history.exited("a", code=0)
    assert history.state("a") is PluginState.STOPPED
    assert history.state("b") is PluginState.READY


def test_one_that_dies_before_its_turn_does_not_hold_up_the_stop() -> None:
    history = all_ready()
    history.do(events.StopAsked("x"))
    history.exited("a", signal=signal.SIGKILL)
    history.exited("c", code=0)
    history.exited("b", code=0)
    assert history.machine.has_ended


def test_one_that_dies_before_its_turn_in_a_restart_is_started_again_all_the_same() -> None:
    history = all_ready()
    history.do(events.PluginsAsked("restart", ("a", "b", "c")))
    assert "was killed by SIGKILL" in said(history.exited("b", signal=signal.SIGKILL))
    history.exited("a", signal=signal.SIGKILL)
    assert spawns(history.actions)[-1] == "a"
    history.ready("a").ready("b")
    history.exited("c", code=0)
    history.ready("c")
    assert [history.plugin(plugin_id).restarts.count for plugin_id in "abc"] == [1, 1, 1]


def test_one_that_ends_early_in_a_restart_waits_for_those_that_it_needs_to_be_restarted_too() -> None:
    history = History(spec("a"), spec("b", after=("a",)), spec("c", after=("a",))).ready("a").ready("b").ready("c")
    history.do(events.PluginsAsked("restart", ("a", "b", "c")))
    assert spawns(history.exited("b", code=0)) == []
    assert (history.state("a"), history.state("b")) == (PluginState.READY, PluginState.PENDING)
    assert history.plugin("b").reason == "waits for a (STOPPING)"
    history.exited("c", code=0)
    assert spawns(history.exited("a", code=0)) == ["a"]
    history.spawned("a")
    assert spawns(history.started("a")) == ["b", "c"]


def test_a_start_while_one_waits_for_its_turn_to_stop_brings_it_back() -> None:
    history = all_ready()
    history.do(events.PluginsAsked("stop", ("b", "c")))
    assert history.plugin("b").reason == "is stopped on request once those that come after it have ended"
    history.do(events.PluginsAsked("start", ("b",)))
    history.exited("c", code=0)
    assert spawns(history.exited("b", code=0)) == ["b"]
    assert history.state("c") is PluginState.STOPPED


def test_one_that_is_to_stop_gets_no_further_task() -> None:
    history = all_ready()
    first, second = history.task("b"), history.task("b")
    history.do(events.PluginsAsked("stop", ("b", "c")))
    assert of(SendTask, history.completes(first)) == []
    history.exited("c", code=0)
    history.exited("b", code=0)
    assert (history.ended[second].error or "").endswith("the task was not sent")


@pytest.mark.parametrize("stop_timeout", [1.0, 10.0])
def test_who_is_waited_for_and_how_long_still_is_said_every_two_seconds(stop_timeout: float) -> None:
    history = History(spec("a"), spec("b"), stop_timeout=stop_timeout).ready("a").ready("b")
    history.do(events.StopAsked("x"))
    history.exited("b", code=0)
    lines = [line for line in said(history.wait(stop_timeout - 0.01)).splitlines() if "waiting for" in line]
    assert lines == (
        [] if stop_timeout == 1 else [f"info: waiting for a (killed in {left} s)" for left in (8, 6, 4, 2)]
    )


def test_a_process_that_even_sigkill_does_not_end_is_given_up() -> None:
    history = History(spec("p"), stop_timeout=2.0).ready()
    task = history.task()
    history.do(events.StopAsked("x"))
    pid = history.plugin().pid
    history.wait(6.9)
    assert not history.machine.has_ended
    history.wait(0.1)
    assert history.machine.has_ended
    assert history.plugin().reason == (
        f"process {pid} does not end though it was killed: the kernel does not let go of it"
    )
    assert task in history.ended


def test_results_that_a_disk_never_takes_are_given_up() -> None:
    history = History().ready()
    task = history.task()
    history.result(task, "big", b"x" * 70_000)
    history.completes(task)
    history.do(events.StopAsked("x"))
    history.exited(code=0)
    history.wait(9.9)
    assert not history.machine.has_ended
    history.wait(0.2)
    assert history.machine.has_ended
    assert history.ended[task].error == "its results were not on disk when the supervisor ended"
    assert history.stored(task, "big") == []
