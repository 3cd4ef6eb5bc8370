"""How plugins are started and watched."""

import signal
from collections.abc import Callable

import pytest
from histories import FIRST_PID, History, of, said, signals, spec

from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import CleanUp, SendTask, Spawn
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.ladder import LINGER_SECONDS
from malbox_cli.supervisor.plugin_state import PluginState
from plugin_runtime.wire.messages import Hello

TERM, KILL, CONT = signal.SIGTERM, signal.SIGKILL, signal.SIGCONT


def test_every_plugin_is_spawned_once_however_often_a_start_is_asked_for() -> None:
    history = History(spec("a"), spec("b"))
    assert history.do(events.StartAsked()) == [Spawn("a", spec("a")), Spawn("b", spec("b"))]
    assert history.do(events.StartAsked()) == []
    history.spawned("a")
    assert history.do(events.StartAsked()) == []


def test_a_plugin_is_ready_once_it_said_plugin_started_and_not_before() -> None:
    history = History()
    history.do(events.StartAsked())
    assert history.state() is PluginState.PENDING
    history.spawned()
    assert history.state() is PluginState.STARTING
    history.wait(1.5)
    actions = history.started()
    assert history.state() is PluginState.READY
    assert "p: READY after 1.50 s" in said(actions)
    assert history.plugin().ready_at == history.now


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda history: history.started(is_ours=False), id="of a foreign process"),
        pytest.param(lambda history: history.started(instance="an-older-one"), id="of an earlier instance"),
    ],
)
def test_plugin_started_of_another_process_is_ignored_with_a_log_line(start: Callable[[History], object]) -> None:
    history = History()
    history.spawned()
    start(history)
    assert history.state() is PluginState.STARTING
    assert "warning: p: ignored PluginStarted of process" in said(history.actions)


def test_a_plugin_of_the_reference_says_nothing_of_itself_and_is_ready_too() -> None:
    history = History()
    history.spawned()
    history.started(says_hello=False)
    assert history.state() is PluginState.READY
    assert not history.plugin().knows("cancel")


def test_a_hello_without_an_instance_is_held_against_the_process_alone() -> None:
    history = History()
    history.spawned()
    history.do(events.PluginStarted("p", 1, True, Hello(1, "r", "0", "p", "1", instance="")))
    assert history.state() is PluginState.READY


def test_a_second_plugin_started_is_ignored() -> None:
    history = History().ready()
    ready_at = history.plugin().ready_at
    history.wait(1)
    assert "ignored PluginStarted" in said(history.started())
    assert history.plugin().ready_at == ready_at


def test_plugin_started_before_any_process_is_ignored() -> None:
    history = History()
    history.started(instance="x")
    assert history.state() is PluginState.PENDING


def test_a_process_that_cannot_be_started_fails_the_plugin_and_what_waits_for_it() -> None:
    history = History()
    history.do(events.StartAsked())
    task = history.task()
    actions = history.do(events.SpawnFailed("p", "cannot start /x: it does not exist"))
    assert history.state() is PluginState.FAILED
    assert history.ended[task].error == (
        "plugin p could not be started (cannot start /x: it does not exist); the task was not sent"
    )
    assert "error: p: cannot start /x" in said(actions)
    assert history.machine.nothing_runs


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (ExitStatus(0, None), "exited with code 0 before it was ready"),
        (ExitStatus(3, None), "exited with code 3 before it was ready"),
        (ExitStatus(None, 11), "was killed by SIGSEGV (signal 11) before it was ready"),
    ],
    ids=str,
)
def test_an_end_before_ready_is_a_failure(status: ExitStatus, why: str) -> None:
    history = History()
    history.spawned()
    actions = history.do(events.ProcessExited("p", FIRST_PID + 1, status))
    assert history.state() is PluginState.FAILED
    assert history.plugin().reason.startswith(f"{why}, within a second of its start: ")
    assert history.plugin().last_exit == status
    assert of(CleanUp, actions) == [CleanUp("p", FIRST_PID + 1)]
    assert f"error: p: {why}" in said(actions)


def test_an_end_without_a_word_names_the_whole_command_to_try_by_hand() -> None:
    history = History(spec("p", argv=("/usr/bin/python3", "-m", "my plugin", "--token=hush")))
    history.spawned()
    history.exited(code=3)
    assert "; run /usr/bin/python3 -m 'my plugin' '--token=***' by hand to see" in history.plugin().reason


@pytest.mark.parametrize(
    ("ending", "why"),
    [({"code": 0}, "exited with code 0"), ({"signal": TERM}, "was killed by SIGTERM (signal 15)")],
    ids=["by itself", "by SIGTERM"],
)
def test_the_reason_of_what_was_stopped_says_that_it_was_told_to(ending: dict[str, int], why: str) -> None:
    history = History().ready()
    history.do(events.PluginsAsked("stop", ("p",)))
    history.exited(**ending)
    assert (history.state(), history.plugin().reason) == (PluginState.STOPPED, f"was told to stop, and {why}")


def test_plugin_stopped_before_ready_does_not_make_an_end_one_in_order() -> None:
    history = History()
    history.spawned()
    history.stopped()
    history.exited(code=0)
    assert history.state() is PluginState.FAILED


def test_an_end_with_0_without_plugin_stopped_is_no_order() -> None:
    history = History().ready()
    history.exited(code=0)
    assert history.state() is PluginState.FAILED
    assert history.plugin().reason == "exited with code 0 without saying PluginStopped"


def test_an_end_with_0_after_plugin_stopped_is_one_in_order() -> None:
    history = History().ready()
    history.stopped()
    actions = history.exited(code=0)
    assert (history.state(), history.plugin().reason) == (PluginState.EXITED, "exited with code 0")
    assert "error" not in said(actions)


def test_plugin_stopped_of_a_foreign_process_counts_for_nothing() -> None:
    history = History().ready()
    history.stopped(is_ours=False)
    assert history.machine.next_deadline() is None
    history.exited(code=0)
    assert history.state() is PluginState.FAILED


def test_the_end_of_an_earlier_process_is_ignored() -> None:
    history = History().ready()
    assert history.do(events.ProcessExited("p", 1, ExitStatus(0, None))) == []
    assert history.state() is PluginState.READY


def test_a_plugin_that_lives_on_after_plugin_stopped_gets_the_ladder() -> None:
    history = History(stop_timeout=10).ready()
    history.stopped()
    assert signals(history.wait(LINGER_SECONDS - 0.01)) == []
    assert signals(history.wait(0.01)) == [("p", TERM), ("p", CONT)]
    assert signals(history.wait(4.99)) == []
    assert signals(history.wait(0.01)) == [("p", KILL)]
    history.exited(signal=KILL)
    assert history.plugin().reason == "was killed because it did not end within 7s of saying PluginStopped"


def test_a_plugin_that_says_plugin_stopped_again_and_again_is_killed_all_the_same() -> None:
    history = History(stop_timeout=2).ready()
    for _ in range(20):
        history.stopped()
        history.wait(0.25)
    assert signals(history.actions) == [("p", TERM), ("p", CONT), ("p", KILL)]


def test_no_task_is_sent_to_a_plugin_that_said_plugin_stopped() -> None:
    history = History().ready()
    history.stopped()
    task = history.task()
    assert of(SendTask, history.actions) == []
    history.exited(code=0)
    assert history.ended[task].error == "plugin p exited with code 0; the task was not sent"


def test_a_plugin_that_is_not_ready_in_time_is_killed() -> None:
    history = History(spec("p", start_timeout=3.0))
    history.spawned()
    assert signals(history.wait(2.9)) == []
    assert signals(history.wait(0.1)) == [("p", KILL)]
    assert signals(history.wait(4.9)) == []
    history.started()  # too late, and no news
    assert history.state() is PluginState.STARTING
    history.exited(signal=KILL)
    assert history.state() is PluginState.FAILED
    assert history.plugin().reason == "did not get ready within 3s (start_timeout)"


@pytest.mark.parametrize(
    ("in_file", "said", "version"), [("0.0.0", "2.0", "2.0"), ("1.0", "2.0", "2.0"), ("1.0", "0.0.0", "1.0")]
)
def test_the_version_is_that_of_the_process_unless_it_says_none(in_file: str, said: str, version: str) -> None:
    history = History(spec("p", version=in_file))
    assert history.plugin().version == in_file
    history.spawned()
    hello = Hello(1, "test 1", "0.10.0", "p", said, history.plugin().instance, frozenset())
    history.do(events.PluginStarted("p", history.plugin().pid or 0, is_ours=True, hello=hello))
    history.task()
    assert history.ledger.tasks[1].added.version == history.plugin().version == version
