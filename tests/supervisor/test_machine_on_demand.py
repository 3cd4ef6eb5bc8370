"""Plugins that have a process only while there is something to do: one for each task, or for the tasks of a scope."""

import pytest
from histories import History, kinds, of, signals, spec

from malbox_cli.control.records import Outcome
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import Action, AskStop, SendTask, Spawn
from malbox_cli.supervisor.plugin_state import PluginState

EXTENSIONS = ("cancel", "stop", "parallel")


def ephemeral(plugin_id: str = "p", **fields: object) -> PluginSpec:
    return spec(plugin_id, state="ephemeral", **fields)


def begun(*specs: PluginSpec) -> History:
    history = History(*specs)
    history.do(events.StartAsked())
    return history


def spawns(actions: list[Action]) -> list[str]:
    return [spawn.plugin_id for spawn in of(Spawn, actions)]


def comes_up(history: History, plugin_id: str = "p") -> list[Action]:
    history.spawned(plugin_id)
    return history.started(plugin_id, extensions=EXTENSIONS)


def test_a_process_for_each_task_and_none_without_one() -> None:
    history = begun(ephemeral())
    assert history.state() is PluginState.IDLE
    assert spawns(history.actions) == []
    first, second = history.task(), history.task()
    assert spawns(history.actions) == ["p"]
    assert [send.task_id for send in of(SendTask, comes_up(history))] == [first]
    actions = history.completes(first)
    assert of(AskStop, actions) == [AskStop("p")]
    assert of(SendTask, actions) == []
    history.stopped()
    assert spawns(history.exited(code=0)) == ["p"]
    assert [send.task_id for send in of(SendTask, comes_up(history))] == [second]
    history.completes(second)
    assert spawns(history.exited(code=0)) == []
    assert history.state() is PluginState.IDLE
    assert history.plugin().reason == "has no process until there is a task for it"
    assert history.plugin().restarts.count == 0


def test_as_many_processes_as_there_are_tasks_and_instances() -> None:
    history = begun(*(ephemeral(f"p-{number}", group="p") for number in (1, 2, 3)))
    history.task("p")
    assert spawns(history.actions) == ["p-1"]
    history.task("p")
    assert spawns(history.actions) == ["p-1", "p-2"]
    for plugin_id in ("p-1", "p-2"):
        comes_up(history, plugin_id)
    assert [send.plugin_id for send in of(SendTask, history.actions)] == ["p-1", "p-2"]
    assert history.state("p-3") is PluginState.IDLE


def test_a_warm_spare_waits_for_the_next_task() -> None:
    history = begun(ephemeral(spare=True))
    assert spawns(history.actions) == ["p"]
    comes_up(history)
    assert history.state() is PluginState.READY
    first = history.task()
    assert [send.task_id for send in of(SendTask, history.actions)] == [first]
    history.completes(first)
    assert spawns(history.exited(code=0)) == ["p"]


def test_a_task_that_is_cancelled_before_its_process_is_ready_leaves_none() -> None:
    history = begun(ephemeral())
    task = history.task()
    history.spawned()
    history.do(events.CancelAsked(task))
    assert of(AskStop, history.started(extensions=EXTENSIONS)) == [AskStop("p")]
    history.exited(code=0)
    assert history.state() is PluginState.IDLE


def test_a_process_that_dies_of_its_task_is_no_reason_not_to_start_another() -> None:
    history = begun(ephemeral())
    for _ in range(12):
        task = history.task()
        history.wait(1)
        comes_up(history)
        history.exited(signal=11)
        history.wait(1)
        comes_up(history)
        history.exited(signal=11)
        assert history.ended[task].outcome is Outcome.FAILED
        history.wait(60)
        assert history.state() is PluginState.IDLE


def test_one_that_cannot_get_ready_fails_with_its_tasks() -> None:
    history = begun(ephemeral())
    task = history.task()
    history.spawned()
    history.exited(code=1)
    assert history.state() is PluginState.FAILED
    assert history.ended[task].outcome is Outcome.FAILED
    assert kinds(history.submit()) == ["Refused"]


def test_a_plugin_comes_after_one_that_is_idle() -> None:
    history = begun(ephemeral("a"), spec("b", after=("a",)))
    assert history.state("a") is PluginState.IDLE
    assert spawns(history.actions) == ["b"]


def test_the_end_of_the_supervisor_is_that_of_the_idle_ones() -> None:
    history = begun(ephemeral())
    history.do(events.StopAsked("x"))
    assert history.state() is PluginState.STOPPED
    assert history.machine.has_ended


@pytest.mark.parametrize("plugin", ["a", "s"])
def test_a_scoped_plugin_lives_while_tasks_of_its_scope_are_open(plugin: str) -> None:
    history = begun(spec("s", state="scoped", scope=("a",)), spec("a"), spec("b"))
    assert history.state("s") is PluginState.IDLE
    for other in ("a", "b"):
        comes_up(history, other)
    outside = history.task("b")
    assert history.state("s") is PluginState.IDLE
    first, second = history.task(plugin), history.task(plugin)
    assert spawns(history.actions)[-1] == "s"
    comes_up(history, "s")
    history.completes(first)
    history.completes(outside)
    assert history.state("s") is PluginState.READY
    assert of(AskStop, history.completes(second)) == [AskStop("s")]
    history.exited("s", code=0)
    assert history.state("s") is PluginState.IDLE


def test_a_scoped_plugin_that_ends_too_late_for_the_next_task_is_started_again() -> None:
    history = begun(spec("s", state="scoped"))
    first = history.task("s")
    comes_up(history, "s")
    history.completes(first)
    assert history.state("s") is PluginState.STOPPING
    second = history.task("s")
    history.exited("s", code=0)
    assert [send.task_id for send in of(SendTask, comes_up(history, "s"))] == [second]


def test_one_that_does_not_stop_when_its_task_is_over_is_killed_and_does_not_fail() -> None:
    history = begun(ephemeral())
    task = history.task()
    comes_up(history)
    history.completes(task)
    history.wait(10)
    assert signals(history.actions)[-1] == ("p", 9)
    history.exited(signal=9)
    assert history.state() is PluginState.IDLE
