"""When a plugin is started again, and when no more."""

import signal
from typing import Any

import pytest
from histories import History, of, said, signals, spec
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import SendTask, Spawn
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.restart import MAX_DELAY_SECONDS, MIN_DELAY_SECONDS, Restarts, wants_restart

KILL = signal.SIGKILL


def restarting(**fields: Any) -> History:
    return History(spec("p", **{"restart": "on-failure", **fields}))


def crash(history: History) -> None:
    """Let the plugin get ready and die, and wait until it is started again."""
    history.ready()
    history.exited(signal=KILL)
    history.wait(60)


@pytest.mark.parametrize(
    ("fields", "code", "in_order", "again"),
    [
        ({}, 3, False, False),
        ({"restart": "on-failure"}, 3, False, True),
        ({"restart": "on-failure"}, 0, True, False),
        ({"restart": "on-failure"}, 0, False, True),  # without PluginStopped
        ({"restart": "on-failure"}, -9, False, True),
        ({"restart": "on-failure", "no_restart_exit_codes": frozenset({3})}, 3, False, False),
        ({"restart": "on-failure", "no_restart_exit_codes": frozenset({9})}, -9, False, True),
        ({"restart": "always"}, 0, True, True),
        ({"restart": "always"}, 3, False, True),
        ({"restart": "always", "no_restart_exit_codes": frozenset({0})}, 0, True, False),
    ],
)
def test_the_manifest_says_what_is_started_again(
    fields: dict[str, Any], code: int, in_order: bool, again: bool
) -> None:
    assert wants_restart(spec("p", **fields), ExitStatus.of_return_code(code), in_order=in_order) is again


def test_a_crash_is_followed_by_a_pause_and_a_start() -> None:
    history = restarting().ready()
    history.exited(signal=KILL)
    assert history.state() is PluginState.BACKOFF
    assert history.plugin().reason.startswith("was killed by SIGKILL (signal 9): somebody else killed it")
    assert history.plugin().reason.endswith("; it is started again in 0.5 s")
    assert of(Spawn, history.wait(0.49)) == []
    assert of(Spawn, history.wait(0.01)) == [Spawn("p", history.plugin().spec)]
    history.spawned()
    history.started()
    assert history.state() is PluginState.READY
    assert history.plugin().restarts.count == 1


def test_tasks_that_wait_stay_and_the_one_that_ran_is_tried_again_behind_them() -> None:
    history = restarting().ready()
    running, waiting = history.task(), history.task()
    history.exited(signal=KILL)
    late = history.task()
    history.wait(1)
    history.spawned()
    sent = of(SendTask, history.started())
    for task in (waiting, late):
        assert [each.task_id for each in sent] == [task]
        sent = of(SendTask, history.completes(task))
    assert [each.task_id for each in sent] == [running]
    assert list(history.ended) == [waiting, late]


def test_the_pauses_double_and_six_starts_in_a_minute_are_too_many() -> None:
    history = restarting()
    history.do(events.StartAsked())
    pauses = []
    while history.state() is not PluginState.FAILED:
        history.spawned()
        history.exited(code=3)
        if (retry_at := history.plugin().retry_at) is not None:
            pauses.append(retry_at - history.now)
            history.wait(pauses[-1])
    assert pauses == [0.5, 1, 2, 4]
    assert "start-limit: 5 starts within 1m did not help" in history.plugin().reason
    assert "`malbox start p`" in history.plugin().reason
    assert history.machine.nothing_runs


def test_an_operators_start_clears_the_limit() -> None:
    history = restarting()
    history.do(events.StartAsked())
    while history.state() is not PluginState.FAILED:
        history.spawned()
        history.exited(code=3)
        history.wait(max(0.0, (history.plugin().retry_at or 0) - history.now))
    actions = history.do(events.PluginsAsked("start", ("p",)))
    assert len(of(Spawn, actions)) == 1
    history.spawned()
    history.exited(code=3)
    assert history.state() is PluginState.BACKOFF


def test_a_minute_of_ready_makes_what_was_before_count_no_more() -> None:
    history = restarting()
    history.do(events.StartAsked())
    for _ in range(20):
        history.ready()
        history.wait(60)
        history.exited(signal=KILL)
        assert history.plugin().retry_at == history.now + 0.5
        history.wait(0.5)


@pytest.mark.parametrize("how", ["stop", "down"])
def test_a_stop_ends_the_pause_at_once_and_nothing_is_started_any_more(how: str) -> None:
    history = restarting().ready()
    history.exited(signal=KILL)
    history.do(events.PluginsAsked("stop", ("p",)) if how == "stop" else events.StopAsked("x"))
    assert history.state() is PluginState.STOPPED
    assert of(Spawn, history.wait(1000)) == []
    assert history.machine.has_ended is (how == "down")


def test_what_an_operator_stopped_stays_stopped_however_it_ends() -> None:
    history = History(spec("p", restart="always"), stop_timeout=4).ready()
    history.do(events.PluginsAsked("stop", ("p",)))
    history.wait(4)
    history.exited(signal=KILL)
    assert history.state() is PluginState.STOPPED
    assert of(Spawn, history.wait(1000)) == []


@pytest.mark.parametrize("why", ["missing", "mismatch", "protocol"])
def test_what_another_start_would_not_mend_is_not_started_again(why: str) -> None:
    history = History(spec("p", restart="always"))
    history.do(events.StartAsked())
    if why == "missing":
        history.do(events.SpawnFailed("p", "cannot start /x: it does not exist"))
    else:
        history.spawned()
        if why == "mismatch":
            history.exited(code=78)
        else:
            history.started(protocol=2)
            assert signals(history.actions) == [("p", KILL)]
            history.exited(signal=KILL)
            assert "speaks version 2 of the protocol, and malbox version 1" in history.plugin().reason
    assert history.state() is PluginState.FAILED
    assert of(Spawn, history.wait(1000)) == []


def test_a_start_that_failed_for_want_of_something_is_tried_again_by_the_rules() -> None:
    history = restarting()
    history.do(events.StartAsked())
    waiting = history.task()
    actions = history.do(events.SpawnFailed("p", "no process is left", is_transient=True))
    assert (history.state(), history.plugin().reason) == (
        PluginState.BACKOFF,
        "no process is left; it is started again in 0.5 s",
    )
    assert said(actions) == "error: p: no process is left; it is started again in 0.5 s"
    assert len(of(Spawn, history.wait(0.5))) == 1
    history.spawned()
    assert of(SendTask, history.started())[0].task_id == waiting
    assert history.plugin().restarts.count == 0  # no process of it ended


def test_a_start_that_fails_for_want_of_something_again_and_again_reaches_the_limit() -> None:
    history = restarting()
    history.do(events.StartAsked())
    while history.state() is not PluginState.FAILED:
        history.do(events.SpawnFailed("p", "no process is left", is_transient=True))
        history.wait(max(0.0, (history.plugin().retry_at or 0) - history.now))
    assert history.plugin().reason.startswith("no process is left; start-limit: 5 starts within 1m did not help")
    assert len(of(Spawn, history.actions)) == 5


@pytest.mark.parametrize("why", ["the manifest", "a stop"])
def test_a_start_that_failed_for_want_of_something_is_not_tried_again_where_nobody_wants_it(why: str) -> None:
    history = restarting(restart="no" if why == "the manifest" else "always")
    history.do(events.StartAsked())
    if why == "a stop":
        history.do(events.PluginsAsked("stop", ("p",)))
    history.do(events.SpawnFailed("p", "no process is left", is_transient=True))
    assert history.state() is (PluginState.FAILED if why == "the manifest" else PluginState.STOPPED)
    assert len(of(Spawn, history.actions)) == 1
    assert of(Spawn, history.wait(1000)) == []


def test_a_first_start_that_is_tried_again_waits_for_its_turn_again() -> None:
    history = History(spec("b", after=("a",), restart="on-failure"), spec("a")).ready("a")
    history.do(events.SpawnFailed("b", "no process is left", is_transient=True))
    history.exited("a", code=3)
    assert of(Spawn, history.wait(1)) == []
    assert history.plugin("b").reason.startswith("was not started: it comes after a, which is FAILED")


def test_what_a_process_before_printed_is_not_shown_for_a_start_that_failed() -> None:
    history = History().ready()
    pid = history.plugin().pid
    assert pid is not None
    history.do(events.ProcessExited("p", pid, ExitStatus(3, None), ("the last line",)))
    history.do(events.PluginsAsked("start", ("p",)))
    history.do(events.SpawnFailed("p", "cannot start /x: it does not exist"))
    assert history.plugin().last_lines == ()


def test_code_78_of_a_plugin_that_was_ready_means_nothing_special() -> None:
    history = restarting().ready()
    history.exited(code=78)
    assert history.state() is PluginState.BACKOFF


def test_a_code_that_says_that_all_is_well_ends_a_plugin_in_order() -> None:
    history = restarting(success_exit_codes=frozenset({0, 2})).ready()
    history.stopped()
    history.exited(code=2)
    assert (history.state(), history.plugin().reason) == (PluginState.EXITED, "exited with code 2")


def test_a_plugin_that_is_not_ready_in_time_has_failed_with_its_last_lines() -> None:
    history = History(spec("p", start_timeout=3.0))
    history.spawned()
    history.wait(3)
    pid = history.plugin().pid
    assert pid is not None
    lines = tuple(f"line {number}" for number in range(20))
    actions = history.do(events.ProcessExited("p", pid, ExitStatus(None, KILL), lines))
    assert history.plugin().reason == "did not get ready within 3s (start_timeout)"
    assert [f"error: p:   {line}" for line in lines] == said(actions).splitlines()[-20:]


def test_a_kill_of_a_plugin_is_kept_in_mind_though_it_came_back() -> None:
    history = restarting()
    crash(history)
    history.ready()
    assert history.plugin().killed.startswith("was killed by SIGKILL (signal 9)")


@given(jitters=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_pause_has_a_floor_and_a_ceiling_that_doubles(jitters: list[float]) -> None:
    restarts, ceiling = Restarts(), 0.5
    for jitter in jitters:
        delay = restarts.next_delay(jitter)
        assert MIN_DELAY_SECONDS <= delay <= max(MIN_DELAY_SECONDS, ceiling) <= MAX_DELAY_SECONDS
        ceiling = min(MAX_DELAY_SECONDS, ceiling * 2)
