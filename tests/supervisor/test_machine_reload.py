"""A manifest that was read again: only what changed is touched."""

from dataclasses import replace

import pytest
from histories import History, kinds, of, spec

from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import Adopt, AskStop, Changed, Forget, SendConfigReloaded, Spawn
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.reload import most_at_once
from malbox_cli.supervisor.verdict import verdict

A, B = spec("a"), spec("b")
CHANGED = replace(A, config={"k": "v"})


def up() -> History:
    history = History(A, B)
    for plugin_id in "ab":
        history.spawned(plugin_id)
        history.started(plugin_id, extensions=("stop",))
    return history


def test_nothing_is_touched_where_nothing_changed_and_the_plugins_hear_of_it() -> None:
    assert kinds(up().do(events.Reloaded((B, A), 10.0))) == ["SendConfigReloaded"]


def test_one_that_changed_is_restarted_with_what_is_said_now() -> None:
    history = up()
    actions = history.do(events.Reloaded((CHANGED, B), 10.0))
    assert of(AskStop, actions) == [AskStop("a")]
    assert SendConfigReloaded() in actions
    waiting = history.task("a")
    assert of(Spawn, history.exited("a", code=0)) == [Spawn("a", CHANGED)]
    assert history.state("b") is PluginState.READY
    assert waiting not in history.ended


def test_one_that_is_new_is_adopted_and_started() -> None:
    history = up()
    new = spec("n", after=("a",))
    actions = history.do(events.Reloaded((A, B, new), 10.0))
    assert kinds(actions) == ["Adopt", "SendConfigReloaded", "Spawn"]
    assert of(Adopt, actions) == [Adopt("n")]


def test_one_that_is_gone_is_stopped_and_forgotten_with_its_tasks_ended() -> None:
    history = up()
    running, waiting = history.task("a"), history.task("a")
    assert of(AskStop, history.do(events.Reloaded((B,), 10.0))) == [AskStop("a")]
    assert history.ended[waiting].error == "plugin a is not in the manifest any more"
    actions = history.exited("a", code=0)
    assert of(Forget, actions) == [Forget("a")]
    assert Changed("a") in actions
    assert running in history.ended
    assert [plugin.id for plugin in history.machine.plugins] == ["b"]


def test_one_that_is_gone_is_kept_until_its_last_result_is_on_disk() -> None:
    history = up()
    task = history.task("a")
    history.result(task, "big", b"x" * 70_000)
    history.completes(task)
    history.do(events.Reloaded((B,), 10.0))
    assert of(Forget, history.exited("a", code=0)) == []
    actions = history.stored(task, "big")
    assert of(Forget, actions) == [Forget("a")]
    assert Changed("a") in actions


def test_one_that_comes_back_before_it_had_gone_stays() -> None:
    history = up()
    history.do(events.Reloaded((B,), 10.0))
    assert of(Adopt, history.do(events.Reloaded((CHANGED, B), 10.0))) == []
    actions = history.exited("a", code=0)
    assert of(Forget, actions) == []
    assert of(Spawn, actions) == [Spawn("a", CHANGED)]


def test_one_that_comes_back_while_it_waits_for_its_turn_to_stop_is_started_again() -> None:
    after = spec("c", after=("a",))
    history = History(A, B, after)
    for plugin_id in "abc":
        history.spawned(plugin_id)
        history.started(plugin_id, extensions=("stop",))
    history.do(events.Reloaded((B,), 10.0))
    assert (history.state("a"), history.state("c")) == (PluginState.READY, PluginState.STOPPING)
    history.do(events.Reloaded((A, B), 10.0))
    history.exited("c", code=0)
    assert of(Spawn, history.exited("a", code=0)) == [Spawn("a", A)]


def test_one_that_waits_goes_by_what_it_comes_after_now() -> None:
    history = History(A, spec("c", after=("a",)))
    history.do(events.StartAsked())
    history.spawned("a")
    assert history.state("c") is PluginState.PENDING
    waiting = history.task("c")
    alone = spec("c", config={"k": "v"})
    actions = history.do(events.Reloaded((alone,), 10.0))
    assert of(Spawn, actions) == [Spawn("c", alone)]
    assert waiting not in history.ended


def test_one_that_is_restarted_goes_by_what_it_comes_after_now() -> None:
    history = History(A, B, spec("c", after=("a",))).ready("a").ready("b").ready("c")
    moved = spec("c", after=("b",))
    history.do(events.Reloaded((B, moved), 10.0))
    assert of(Spawn, history.exited("c", code=0)) == [Spawn("c", moved)]


def test_one_that_is_being_stopped_stays_stopped() -> None:
    history = up()
    history.do(events.PluginsAsked("stop", ("a",)))
    history.do(events.Reloaded((CHANGED, B), 10.0))
    assert of(Spawn, history.exited("a", code=0)) == []
    assert history.state("a") is PluginState.STOPPED
    assert of(Spawn, history.do(events.PluginsAsked("start", ("a",)))) == [Spawn("a", CHANGED)]


def test_that_one_was_killed_counts_though_it_left() -> None:
    history = up()
    history.do(events.Reloaded((B,), 10.0))
    history.exited("a", signal=9)
    assert [plugin.id for plugin in history.machine.plugins] == ["b"]
    history.do(events.StopAsked("x"))
    history.exited("b", code=0)
    end = verdict(history.machine.to_judge, signal=None, ended_by_itself=False)
    assert end.code == 1
    assert end.culprit.startswith("plugin a was killed by SIGKILL (signal 9)")


@pytest.mark.parametrize("stopped", [True, False])
def test_one_that_had_failed_is_tried_again_and_one_that_was_stopped_is_not(*, stopped: bool) -> None:
    history = up()
    if stopped:
        history.do(events.PluginsAsked("stop", ("a",)))
    history.exited("a", code=0 if stopped else 3)
    actions = history.do(events.Reloaded((CHANGED, B), 10.0))
    assert of(Spawn, actions) == ([] if stopped else [Spawn("a", CHANGED)])
    if stopped:
        assert of(Spawn, history.do(events.PluginsAsked("start", ("a",)))) == [Spawn("a", CHANGED)]


def test_there_is_to_be_room_for_those_that_go_and_those_that_come() -> None:
    assert most_at_once(["a", "b"], (B, spec("c"), spec("d"))) == 4


def test_a_restart_goes_on_once_the_process_has_ended() -> None:
    history = up()
    history.do(events.PluginsAsked("restart", ("a",)))
    assert history.state("a") is PluginState.STOPPING
    assert of(Spawn, history.exited("a", code=0)) == [Spawn("a", A)]
    assert history.plugin("a").restarts.count == 1


def test_a_stop_during_a_restart_wins() -> None:
    history = up()
    history.do(events.PluginsAsked("restart", ("a",)))
    history.do(events.PluginsAsked("stop", ("a",)))
    assert of(Spawn, history.exited("a", code=0)) == []
    assert history.state("a") is PluginState.STOPPED
