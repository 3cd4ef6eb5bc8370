"""Plugins that say that something is wrong with them, or whose loop stands still."""

import signal

from histories import History, of, said, signals, spec

from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import AskHealth, SendTask
from malbox_cli.supervisor.plugin_state import PluginState

READY, DEGRADED = PluginState.READY, PluginState.DEGRADED


def watched(**fields: object) -> History:
    history = History(spec("p", **fields))
    history.spawned()
    history.started(extensions=("health", "heartbeat", "cancel"))
    return history


def test_health_is_asked_for_again_once_it_was_answered() -> None:
    history = watched(health_interval=5.0)
    assert of(AskHealth, history.wait(4.9)) == []
    assert of(AskHealth, history.wait(0.1)) == [AskHealth("p")]
    history.do(events.HealthSaid("p", "healthy", ""))
    assert of(AskHealth, history.wait(5)) == [AskHealth("p")]
    assert history.state() is READY


def test_a_plugin_that_does_not_know_the_question_is_not_asked() -> None:
    history = History(spec("p", health_interval=1.0, heartbeat=1.0)).ready()
    assert of(AskHealth, history.wait(100)) == []
    assert history.state() is READY
    assert "heartbeat is set for it, and it does not know how to beat" in said(history.actions)


def test_what_is_wrong_is_the_states_reason_until_all_is_well_again() -> None:
    history = watched(health_interval=5.0)
    actions = history.do(events.HealthSaid("p", "degraded", "the signatures are old"))
    assert (history.state(), history.plugin().reason) == (
        DEGRADED,
        "it says that it is degraded: the signatures are old",
    )
    assert "warning: p: DEGRADED: it says that it is degraded: the signatures are old" in said(actions)
    assert said(history.do(events.HealthSaid("p", "degraded", "the signatures are old"))) == ""
    history.do(events.HealthSaid("p", "unhealthy", "no disk"))
    assert history.plugin().reason == "it says that it is unhealthy: no disk"
    assert "READY again" in said(history.do(events.HealthSaid("p", "healthy", "")))
    assert (history.state(), history.plugin().reason) == (READY, "it takes tasks")


def test_a_degraded_plugin_takes_tasks() -> None:
    history = watched(health_interval=5.0)
    history.do(events.HealthSaid("p", "degraded", "slow"))
    task = history.task()
    assert of(SendTask, history.actions)[-1].task_id == task


def test_no_answer_of_an_idle_plugin_is_an_answer_and_one_of_a_busy_plugin_is_none() -> None:
    history = watched(health_interval=5.0, task_timeout=None)
    task = history.task()
    history.wait(20)
    assert history.state() is READY
    history.completes(task)
    history.wait(5)  # it may have been about to answer
    history.wait(5)
    assert history.state() is DEGRADED
    assert "it has not said how it is for" in history.plugin().reason
    history.do(events.HealthSaid("p", "healthy", ""))
    assert history.state() is READY


def test_three_missing_beats_degrade_and_one_more_aborts_with_the_restart_rules_after_it() -> None:
    history = watched(heartbeat=2.0, restart="on-failure", health_interval=None)
    for _ in range(5):
        history.wait(2)
        history.do(events.Beat("p"))
    history.wait(5.9)
    assert history.state() is READY
    history.wait(0.1)
    assert (history.state(), history.plugin().reason) == (
        DEGRADED,
        "its loop has missed 3 beats (heartbeat = 2s)",
    )
    waiting = history.task()
    assert of(SendTask, history.actions) == []
    assert signals(history.wait(1.9)) == []
    assert signals(history.wait(0.1)) == [("p", signal.SIGABRT), ("p", signal.SIGCONT)]
    assert signals(history.wait(2)) == [("p", signal.SIGKILL)]
    history.exited(signal=signal.SIGABRT)
    assert history.state() is PluginState.BACKOFF
    assert history.plugin().reason.startswith("was aborted: its loop has missed 3 beats (heartbeat = 2s)")
    assert waiting not in history.ended


def test_a_beat_that_comes_after_all_makes_it_ready_again_and_hands_out_what_waited() -> None:
    history = watched(heartbeat=2.0)
    history.wait(6)
    task = history.task()
    actions = history.do(events.Beat("p"))
    assert history.state() is READY
    assert of(SendTask, actions)[0].task_id == task
    assert signals(history.wait(5.9)) == []
