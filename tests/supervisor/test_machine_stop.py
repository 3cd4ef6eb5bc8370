"""How plugins are stopped, killed and started again."""

import signal

import pytest
from histories import History, kinds, of, said, signals, spec

from malbox_cli.control.records import Ended, Refused
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import CloseTask, Emit, SendShutdown, SendTask, Spawn
from malbox_cli.supervisor.plugin_state import PluginState

TERM, KILL, CONT = signal.SIGTERM, signal.SIGKILL, signal.SIGCONT


def test_a_stop_tells_all_plugins_and_waits_for_them() -> None:
    history = History(spec("a"), spec("b")).ready("a").ready("b")
    actions = history.do(events.StopAsked("`malbox down`"))
    assert kinds(actions) == ["SendShutdown"]
    assert "info: stopping: `malbox down`" in said(actions)
    assert history.machine.is_stopping
    assert not history.machine.has_ended
    history.stopped("a")
    history.exited("a", code=0)
    assert history.state("a") is PluginState.STOPPED
    assert not history.machine.has_ended
    history.exited("b", code=0)  # told to stop, it need not say that it did
    assert history.state("b") is PluginState.STOPPED
    assert history.machine.has_ended
    assert history.machine.next_deadline() is None


def test_the_ladder_of_a_stop_has_a_word_a_sigterm_at_half_time_and_a_sigkill() -> None:
    history = History(stop_timeout=10).ready()
    history.do(events.StopAsked("x"))
    assert signals(history.wait(4.99)) == []
    assert signals(history.wait(0.01)) == [("p", TERM), ("p", CONT)]
    assert signals(history.wait(4.99)) == []
    assert signals(history.wait(0.01)) == [("p", KILL)]
    assert signals(history.wait(4.9)) == []
    history.exited(signal=KILL)
    assert history.state() is PluginState.STOPPED
    assert history.plugin().reason == "was killed because it did not end within 10s (stop_timeout)"
    assert history.machine.has_ended


def test_a_starting_plugin_does_not_listen_yet_and_gets_sigterm_at_once() -> None:
    history = History(stop_timeout=10)
    history.spawned()
    assert signals(history.do(events.StopAsked("x"))) == [("p", TERM), ("p", CONT)]
    assert "ignored" not in said(history.started())  # it was just about to
    assert history.state() is PluginState.STOPPING
    assert signals(history.wait(10)) == [("p", KILL)]


def test_a_plugin_that_dies_of_the_sigterm_it_got_has_stopped() -> None:
    history = History()
    history.spawned()
    history.do(events.StopAsked("x"))
    actions = history.exited(signal=TERM)
    assert history.state() is PluginState.STOPPED
    assert said(actions) == "info: p: stopped"


def test_a_crash_while_stopping_is_told() -> None:
    history = History().ready()
    history.do(events.StopAsked("x"))
    assert "error: p: was killed by SIGSEGV (signal 11)" in said(history.exited(signal=11))
    assert history.state() is PluginState.STOPPED


def test_what_was_never_started_has_stopped_at_once() -> None:
    history = History()
    history.do(events.StopAsked("x"))
    assert history.state() is PluginState.STOPPED
    assert history.machine.has_ended
    assert history.do(events.StartAsked()) == []


def test_a_second_stop_changes_nothing() -> None:
    history = History().ready()
    history.do(events.StopAsked("x"))
    deadline = history.machine.next_deadline()
    history.wait(1)
    assert history.do(events.StopAsked("y")) == []
    assert history.machine.next_deadline() == deadline


@pytest.mark.parametrize("before", ["nothing", "a stop"])
def test_a_kill_kills_at_once(before: str) -> None:
    history = History(spec("a"), spec("b"), stop_timeout=100).ready("a")
    history.spawned("b")
    if before == "a stop":
        history.do(events.StopAsked("x"))
    assert signals(history.do(events.KillAsked()))[-2:] == [("a", KILL), ("b", KILL)]
    assert signals(history.wait(4.9)) == []
    history.exited("a", signal=KILL)
    history.exited("b", signal=KILL)
    assert history.plugin("a").reason == "was killed on request"
    assert history.machine.has_ended


@pytest.mark.parametrize(
    ("ask", "expected"),
    [(events.StopAsked("x"), [("p", TERM), ("p", CONT)]), (events.KillAsked(), [("p", KILL)])],
    ids=["stop", "kill"],
)
def test_a_process_that_is_being_spawned_when_the_end_comes_is_waited_for_and_ended(
    ask: events.Event, expected: list[tuple[str, int]]
) -> None:
    history = History()
    history.do(events.StartAsked())
    history.do(ask)
    assert not history.machine.has_ended
    assert signals(history.spawned()) == expected
    assert not history.machine.has_ended
    history.exited(signal=TERM)
    assert history.machine.has_ended


def test_a_process_that_cannot_be_spawned_when_the_end_comes_is_not_waited_for() -> None:
    history = History()
    history.do(events.StartAsked())
    history.do(events.StopAsked("x"))
    history.do(events.SpawnFailed("p", "no"))
    assert history.machine.has_ended


def stuck(history: History) -> int:
    """Let a handler ignore a cancel until its process is killed; return the task."""
    task = history.task()
    history.do(events.CancelAsked(task))
    assert signals(history.wait(5)) == [("p", KILL)]
    return task


def test_the_memory_of_a_dead_process_is_cleaned_after_its_streams_are_closed_and_before_it_is_spawned_again() -> None:
    history = History().ready()
    stuck(history)
    queued = history.task()
    actions = history.exited(signal=KILL)
    assert kinds(actions) == ["CloseTask", "Ended", "CleanUp", "Spawn"]
    assert history.plugin().restarts.count == 1
    assert queued not in history.ended
    history.spawned()
    assert of(SendTask, history.started())[0].task_id == queued


def test_a_task_that_comes_while_a_process_is_spawned_again_waits_for_it() -> None:
    history = History().ready()
    stuck(history)
    history.exited(signal=KILL)
    assert not history.machine.nothing_runs
    task = history.task()
    history.spawned()
    assert of(SendTask, history.started())[0].task_id == task


def test_nothing_runs_and_everything_queued_fails_if_a_process_cannot_be_spawned_again() -> None:
    history = History().ready()
    stuck(history)
    queued = history.task()
    history.exited(signal=KILL)
    history.do(events.SpawnFailed("p", "no"))
    assert history.ended[queued].error == "plugin p could not be started (no); the task was not sent"
    assert history.machine.nothing_runs


@pytest.mark.parametrize("answer", ["spawned", "failed"])
def test_a_process_that_is_spawned_again_when_the_stop_comes_is_ended_too(answer: str) -> None:
    history = History().ready()
    stuck(history)
    history.exited(signal=KILL)
    history.do(events.StopAsked("x"))
    assert not history.machine.has_ended
    if answer == "spawned":
        assert signals(history.spawned()) == [("p", TERM), ("p", CONT)]
        history.exited(signal=TERM)
    else:
        history.do(events.SpawnFailed("p", "no"))
    assert history.machine.has_ended
    assert len(of(Spawn, history.actions)) == 1


def test_nothing_is_spawned_again_once_the_stop_has_come() -> None:
    history = History().ready()
    stuck(history)
    history.do(events.StopAsked("x"))
    assert of(Spawn, history.exited(signal=KILL)) == []
    assert history.machine.has_ended


def test_a_task_is_not_sent_to_a_process_that_is_being_killed() -> None:
    history = History().ready()
    task = stuck(history)
    queued = history.task()
    actions = history.completes(task)  # its last words
    assert of(SendTask, actions) == []
    history.exited(signal=KILL)
    assert queued not in history.ended


def test_a_supervisor_that_is_stopping_takes_no_task() -> None:
    history = History().ready()
    history.do(events.StopAsked("x"))
    (emitted,) = history.submit()
    assert emitted == Emit(7, Refused("p", "the supervisor is stopping"))


def test_a_handler_that_ignores_the_stop_is_left_to_the_ladder() -> None:
    history = History(stop_timeout=60).ready()
    task = history.task()
    history.do(events.StopAsked("x"))
    assert signals(history.wait(29.9)) == []
    assert signals(history.wait(0.1)) == [("p", TERM), ("p", CONT)]
    assert signals(history.wait(30)) == [("p", KILL)]
    history.exited(signal=KILL)
    assert history.ended[task].outcome.value == "canceled"


def test_it_has_not_ended_before_the_results_are_stored() -> None:
    history = History().ready()
    task = history.task()
    history.result(task, "big", b"x" * 70_000)
    history.completes(task)
    history.do(events.StopAsked("x"))
    history.exited(code=0)
    assert not history.machine.has_ended
    history.stored(task, "big")
    assert history.machine.has_ended
    assert history.ended[task] == Ended(task, "p", history.ended[task].outcome, None, 0.0)


def test_a_stop_closes_what_the_plugin_was_working_on() -> None:
    history = History().ready()
    task = history.task()
    assert kinds(history.do(events.StopAsked("x"))) == ["SendCancel", "SendShutdown"]
    assert SendShutdown() in history.actions
    assert kinds(history.exited(code=0)) == ["CloseTask", "Ended", "CleanUp"]
    assert CloseTask(task) in history.actions
    assert (history.ended[task].outcome.value, history.ended[task].error) == ("canceled", "the supervisor is stopping")
