"""The tables of states, walked over whole."""

import itertools

import pytest

from malbox_cli.control.records import Outcome
from malbox_cli.store.task_states import MOVES, TaskState
from malbox_cli.supervisor.plugin_state import TABLE, PluginEvent, PluginState, next_plugin_state
from malbox_cli.supervisor.tasks import Attempt, Task

S, E = PluginState, PluginEvent
WITH_PROCESS = {S.STARTING, S.READY, S.DEGRADED, S.STOPPING}
UP = {S.READY, S.DEGRADED}
OVER = {S.STOPPED, S.EXITED, S.FAILED}


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(PluginState, PluginEvent)), ids=lambda part: part.name
)
def test_every_event_in_every_state_has_a_next_state_or_is_refused(state: PluginState, event: PluginEvent) -> None:
    if (state, event) not in TABLE:
        with pytest.raises(KeyError):
            next_plugin_state(state, event)
        return
    after = next_plugin_state(state, event)
    match event:
        case E.START_ASKED:
            assert (state in WITH_PROCESS, after) == (False, S.PENDING)
        case E.SPAWNED:
            assert state in {S.PENDING, S.BACKOFF}
            assert after is S.STARTING
        case E.SPAWN_FAILED:
            assert state in {S.PENDING, S.BACKOFF}
            assert after is S.FAILED
        case E.SKIPPED:
            assert (state, after) == (S.PENDING, S.FAILED)
        case E.STARTED:
            assert (state, after) in {(S.STARTING, S.READY), (S.STOPPING, S.STOPPING)}
        case E.WORSENED:
            assert state in UP
            assert after is S.DEGRADED
        case E.RECOVERED:
            assert (state, after) == (S.DEGRADED, S.READY)
        case E.STOP_ASKED:
            assert after in {S.STOPPING, S.STOPPED, state}
            assert (after in WITH_PROCESS) == (state in WITH_PROCESS)
        case E.ENDED_IN_ORDER | E.DIED:
            assert state in WITH_PROCESS
            assert after in OVER
        case E.RESTART_DUE:
            assert state in (WITH_PROCESS - {S.STOPPING}) | {S.PENDING, S.BACKOFF}
            assert after is S.BACKOFF


def test_who_has_a_process_can_be_told_to_stop_and_can_die_and_nobody_else_can_die() -> None:
    for state in PluginState:
        if state in WITH_PROCESS:
            assert next_plugin_state(state, E.STOP_ASKED) is S.STOPPING
            assert next_plugin_state(state, E.DIED) in {S.FAILED, S.STOPPED}
        else:
            assert (state, E.DIED) not in TABLE


def test_an_operators_stop_is_final_until_somebody_wants_a_start() -> None:
    for state in PluginState:
        stopped = next_plugin_state(state, E.STOP_ASKED)
        assert stopped is S.STOPPING or stopped in OVER
    for event in PluginEvent:
        assert TABLE.get((S.STOPPED, event), S.STOPPED) in {S.STOPPED, S.PENDING}


@pytest.mark.parametrize("state", PluginState, ids=lambda state: state.name)
def test_what_a_state_says_of_itself_is_so(state: PluginState) -> None:
    assert state.has_process == (state in WITH_PROCESS)
    assert state.is_up == (state in UP)
    assert state.is_over == (state in OVER)


def test_every_state_can_be_reached() -> None:
    reached = {S.PENDING}
    while more := {after for (before, _), after in TABLE.items() if before in reached} - reached:
        reached |= more
    assert reached == set(PluginState)


def a_task(state: TaskState) -> Task:
    return Task(1, 1, "p", "1.0", "/s", {}, None, 0.0, state=state)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(TaskState, TaskState)), ids=lambda state: state.name
)
def test_a_task_moves_by_its_table_and_not_otherwise(before: TaskState, after: TaskState) -> None:
    task = a_task(before)
    if after in MOVES[before]:
        task.move(after)
        assert task.state is after
    else:
        with pytest.raises(ValueError, match=f"from {before.value} to {after.value}"):
            task.move(after)
        assert task.state is before


def test_every_outcome_is_a_final_state_and_nothing_comes_after_it() -> None:
    assert {state.name for state in TaskState if state.is_final} == {outcome.name for outcome in Outcome}


def test_every_state_of_a_task_leads_to_every_bad_end() -> None:
    for state in TaskState:
        reached = {state}
        while more := {after for before in reached for after in MOVES[before]} - reached:
            reached |= more
        assert state.is_final or {TaskState.FAILED, TaskState.CANCELED} <= reached


def test_a_task_that_was_asked_to_end_does_not_time_out_as_well() -> None:
    task = a_task(TaskState.RUNNING)
    assert task.times_out_at is None
    task.timeout, task.sent_at = 3.0, 10.0
    assert task.times_out_at is None
    task.attempt = Attempt()
    assert task.times_out_at == 13.0
    task.attempt.ending = Outcome.CANCELED
    assert task.times_out_at is None
