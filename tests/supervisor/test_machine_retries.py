"""When a task goes again, and when it does not."""

import pytest
from histories import History, of, records, said, signals, spec

from malbox_cli.control.records import Ended, Outcome, TaskWarning
from malbox_cli.manifest.specs import PluginSpec, Retries
from malbox_cli.store.entries import AttemptEnded, OpenTask, TaskAdded
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import AbandonResults, Action, SendCancel, SendTask
from plugin_runtime.wire.codec import error_frame, result_frames
from plugin_runtime.wire.messages import DataFormat

KILL = 9


def restarting(**fields: object) -> PluginSpec:
    return spec("p", restart="always", task_timeout=None, **fields)


def sent(actions: list[Action]) -> list[int]:
    return [send.task_id for send in of(SendTask, actions)]


def again(history: History) -> list[Action]:
    """Let the plugin's process be started again, and time pass in which nothing else happens."""
    history.wait(40)
    history.spawned()
    return history.started() + history.wait(40)


def dies(history: History) -> list[Action]:
    return history.exited(signal=KILL)


def test_a_task_whose_process_died_goes_again_once_and_what_it_pushed_is_void() -> None:
    history = History(restarting()).ready()
    task = history.task()
    history.result(task, "r", b"1")
    actions = dies(history)
    (warning,) = records(TaskWarning, actions)
    assert warning.message == (
        "plugin p was killed by SIGKILL (signal 9) during the task; 1 result arrived before; "
        "it is tried again in 0.5 s, and what it pushed is void"
    )
    assert history.of_task(task)[-3:] == ["AttemptEnded", "Requeued", "Noted"]
    assert sent(again(history)) == [task]
    history.result(task, "r", b"1")
    history.completes(task)
    assert history.ended[task].outcome is Outcome.COMPLETED
    assert history.ledger.tasks[task].results == [(2, 1)]
    assert history.ledger.tasks[task].attempts == ["lost", "completed"]


def test_a_sample_that_ends_its_plugin_again_and_again_is_poison_and_does_not_stop_the_queue() -> None:
    history = History(restarting(retries=Retries(lost=2))).ready()
    task, other = history.task(), history.task()
    for _ in range(2):
        dies(history)
        assert task not in history.ended
        for each in sent(again(history)):
            if each == other:
                history.completes(other)
        history.wait(40)
    assert history.ended.keys() == {other}
    dies(history)
    assert history.ended[task].error == (
        "plugin p was killed by SIGKILL (signal 9) during the task; "
        "3 attempts at it were lost: it counts as poison, and is not tried again"
    )


def test_what_does_not_come_back_is_not_waited_for() -> None:
    history = History(spec("p", retries=Retries(lost=5))).ready()
    task = history.task()
    dies(history)
    assert history.ended[task].error == "plugin p was killed by SIGKILL (signal 9) during the task"


def test_an_error_of_the_plugin_ends_a_task_unless_the_manifest_says_otherwise() -> None:
    history = History(spec("p", retries=Retries(error=1))).ready()
    task = history.task()
    actions = history.frames(task, error_frame(task, "no"))
    assert records(Ended, actions) == []
    assert sent(history.wait(0.49)) == []
    assert sent(history.wait(0.01)) == [task]
    history._reassemblers.clear()
    history.frames(task, error_frame(task, "no"))
    assert history.ended[task].error == "no"
    assert history.ledger.tasks[task].attempts == ["failed", "failed"]


def test_the_pauses_between_attempts_double() -> None:
    history = History(spec("p", retries=Retries(error=8), task_timeout=None)).ready()
    task = history.task()
    pauses = []
    for _ in range(8):
        history._reassemblers.clear()
        history.frames(task, error_frame(task, "no"))
        before = history.now
        while not sent(history.wait(0.125)):
            pass
        pauses.append(history.now - before)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_what_the_disk_did_not_take_is_not_tried_again() -> None:
    history = History(spec("p", retries=Retries(lost=3, error=3))).ready()
    task = history.task()
    history.result(task, "r", b"x", DataFormat.BYTES)
    history.completes(task)
    history.not_stored(task, "r")
    assert history.ended[task].outcome is Outcome.FAILED


def test_an_attempt_is_over_when_its_results_are_stored_and_only_then_is_the_next_one_begun() -> None:
    history = History(restarting()).ready()
    task = history.task()
    history.result(task, "r", b"x", DataFormat.BYTES)
    dies(history)
    assert history.of_task(task)[-1] == "AttemptBegan"
    assert sent(again(history)) == []
    history.stored(task, "r")
    assert sent(history.wait(0.5)) == [task]


def test_a_result_that_was_cut_off_is_thrown_away_before_the_next_attempt() -> None:
    history = History(restarting()).ready()
    task = history.task()
    frames = list(result_frames(task, "r", b"x" * (3 << 20), DataFormat.BYTES))
    history.frames(task, *frames[:2])
    actions = dies(history)
    assert of(AbandonResults, actions) == [AbandonResults(task)]
    assert "cut off" in records(TaskWarning, actions)[0].message


def test_a_task_that_goes_again_has_its_process_for_itself() -> None:
    history = History(restarting(execution="parallel", concurrency=4))
    history.spawned()
    history.started(extensions=("cancel", "parallel"))
    tasks = [history.task() for _ in range(3)]
    dies(history)
    history.wait(40)
    history.spawned()
    assert sent(history.started(extensions=("cancel", "parallel"))) == [tasks[0]]
    late = history.task()
    assert sent(history.completes(tasks[0])) == [tasks[1]]
    dies(history)
    assert set(history.ended) == {tasks[0], tasks[1]}
    history.wait(40)
    history.spawned()
    assert sent(history.started(extensions=("cancel", "parallel"))) == [tasks[2]]
    assert sent(history.completes(tasks[2])) == [late]


def test_those_beside_a_task_whose_process_was_killed_for_it_are_not_to_blame() -> None:
    history = History(spec("p", execution="parallel", concurrency=2, cancel_grace=1.0, retries=Retries(lost=0)))
    history.spawned()
    history.started(extensions=("cancel", "parallel"))
    stuck, beside = history.task(), history.task()
    assert of(SendCancel, history.do(events.CancelAsked(stuck))) == [SendCancel(stuck, "p")]
    assert signals(history.wait(0.99)) == []
    assert signals(history.wait(0.01)) == [("p", KILL)]
    dies(history)
    assert history.ended.keys() == {stuck}
    assert history.ended[stuck].outcome is Outcome.CANCELED
    history.spawned()
    history.started(extensions=("cancel", "parallel"))
    history.completes(beside)
    assert history.ended[beside].outcome is Outcome.COMPLETED
    assert history.ledger.tasks[beside].attempts == ["interrupted", "completed"]


def test_the_task_of_a_plugin_that_is_restarted_goes_again() -> None:
    history = History(spec("p", retries=Retries(lost=0))).ready()
    task = history.task()
    actions = history.do(events.PluginsAsked("restart", ("p",)))
    assert of(SendCancel, actions) == [SendCancel(task, "p")]
    history.frames(task, error_frame(task, "the task was cancelled"))
    assert history.ended == {}
    history.exited(code=0)
    history.spawned()
    assert sent(history.started()) == [task]
    assert [entry.error for entry in history.entries if isinstance(entry, AttemptEnded)] == [
        "plugin p is restarted on request"
    ]


def test_the_task_of_a_plugin_that_is_stopped_is_cancelled() -> None:
    history = History().ready()
    task = history.task()
    history.do(events.PluginsAsked("stop", ("p",)))
    history.frames(task, error_frame(task, "the task was cancelled"))
    history.exited(code=0)
    assert (history.ended[task].outcome, history.ended[task].error) == (
        Outcome.CANCELED,
        "plugin p is stopped on request",
    )


def test_a_task_that_is_cancelled_while_it_rests_or_would_go_again_has_ended() -> None:
    history = History(restarting()).ready()
    resting, storing = history.task(), history.task()
    dies(history)
    history.do(events.CancelAsked(resting))
    assert history.ended[resting].outcome is Outcome.CANCELED
    assert sent(again(history)) == [storing]
    history.result(storing, "r", b"x", DataFormat.BYTES)
    dies(history)
    history.do(events.CancelAsked(storing))
    history.stored(storing, "r")
    assert history.ended[storing].outcome is Outcome.CANCELED


# What a supervisor leaves, and what it takes up.


def test_a_supervisor_that_stops_leaves_what_nobody_waits_for_to_the_next_one() -> None:
    history = History().ready()
    running, waiting = history.task(is_detached=True), history.task(is_detached=True)
    attended = history.task()
    reading = 4
    history.submit(is_detached=True)
    history.do(events.StopAsked("x"))
    assert history.ended.keys() == {attended, reading}
    history.frames(running, error_frame(running, "the task was cancelled"))
    history.exited(code=0)
    assert history.machine.has_ended
    assert history.ended.keys() == {attended, reading}
    assert [history.ledger.tasks[task].state.name for task in (running, waiting)] == ["QUEUED", "QUEUED"]
    assert history.ledger.tasks[running].attempts == ["interrupted"]


def test_a_task_that_gets_done_while_the_supervisor_stops_is_done() -> None:
    history = History().ready()
    task = history.task(is_detached=True)
    history.do(events.StopAsked("x"))
    history.completes(task)
    assert history.ended[task].outcome is Outcome.COMPLETED


def test_without_a_ledger_nothing_is_left() -> None:
    history = History(keeps_tasks=False).ready()
    running, waiting = history.task(is_detached=True), history.task(is_detached=True)
    history.do(events.StopAsked("x"))
    history.frames(running, error_frame(running, "the task was cancelled"))
    assert {history.ended[task].outcome for task in (running, waiting)} == {Outcome.CANCELED}


def left(
    task: int,
    plugin: str = "p",
    *,
    was_running: bool = False,
    attempts: int = 0,
    lost: int = 0,
    canceled: str | None = None,
) -> OpenTask:
    added = TaskAdded(task, plugin, "1", "/s", "ab" * 32, 3, "f", None, {"k": "v"}, 5.0, 0, False, None)
    return OpenTask(added, was_running, attempts, lost, 0, 60.0, canceled)


def recovered(history: History, *tasks: OpenTask) -> list[Action]:
    for task in tasks:
        history.ledger.take(task.added)
        kept = history.ledger.tasks[task.added.task]
        if task.was_running:
            kept.attempts = ["lost"] * (task.attempts - 1) + [""]
            kept.state = kept.state.__class__.RUNNING
        else:
            kept.attempts = ["lost"] * task.attempts
    return history.do(events.TasksRecovered(tasks))


def test_a_supervisor_takes_up_what_was_queued_in_its_order_and_looks_at_the_samples_again() -> None:
    history = History()
    actions = recovered(history, left(7), left(8))
    assert "took up 2 tasks" in said(actions)
    history.ready()
    assert sent(history.do(events.SamplesChecked((7, 8), ()))) == [7]
    assert sent(history.completes(7)) == [8]
    assert of(SendTask, history.actions)[0].request.config == (("k", "v"),)


def test_what_was_running_is_an_attempt_that_was_lost() -> None:
    history = History()
    recovered(history, left(7, was_running=True, attempts=1), left(8, was_running=True, attempts=2, lost=1))
    assert history.ended.keys() == {8}
    assert history.ended[8].error == (
        "the supervisor ended during the task; 2 attempts at it were lost: it counts as poison, and is not tried again"
    )
    history.ready()
    history.do(events.SamplesChecked((7,), ()))
    history.completes(7)
    assert history.ledger.tasks[7].attempts == ["lost", "completed"]


def test_what_was_asked_to_end_when_the_supervisor_did_has_ended() -> None:
    history = History()
    recovered(history, left(7, was_running=True, attempts=1, canceled="cancelled on request"))
    assert (history.ended[7].outcome, history.ended[7].error) == (Outcome.CANCELED, "cancelled on request")
    assert history.ledger.tasks[7].attempts == ["interrupted"]


def test_tasks_of_a_plugin_that_is_not_run_stay_as_they_are() -> None:
    history = History()
    actions = recovered(history, left(7, "other"), left(8, "other"))
    assert "2 tasks of plugin other wait in the ledger, and that plugin is not run" in said(actions)
    assert history.machine.plugin_of_task(7) is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_task_can_be_taken_up_by_one_supervisor_after_the_other(times: int) -> None:
    history = History()
    recovered(history, left(7, attempts=times, lost=times))
    history.ready()
    history.do(events.SamplesChecked((7,), ()))
    history.completes(7)
    assert history.ended[7].outcome is Outcome.COMPLETED
