"""How tasks are taken, sent, cancelled and ended."""

import pytest
from histories import CLIENT, SHA256, History, kinds, of, records, said, signals, spec

from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Refused, TaskWarning
from malbox_cli.manifest.specs import DEFAULT_CANCEL_GRACE as CANCEL_GRACE
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import CloseTask, Emit, Grant, ReadSample, SendCancel, SendTask
from malbox_cli.supervisor.plugin_state import PluginState
from plugin_runtime.wire.codec import error_frame, progress_frame
from plugin_runtime.wire.messages import TaskRequest

KILL = 9


def end_of(history: History, task: int) -> tuple[str, str | None]:
    ended = history.ended[task]
    return ended.outcome.value, ended.error


def test_the_way_of_a_task_that_goes_well() -> None:
    history = History(spec("p", config={"a": "1", "b": "2"})).ready()
    assert history.submit(config={"b": "3"}) == [ReadSample(1, "/samples/a")]
    history.wait(1)
    assert history.do(events.SampleRead(1, SHA256)) == [
        SendTask(1, "p", TaskRequest("/samples/a", (("a", "1"), ("b", "3")))),
        Emit(CLIENT, Accepted(1, "p", "/samples/a", SHA256)),
    ]
    history.wait(2)
    assert history.frames(1, progress_frame(1, 0.5, "half")) == [Emit(CLIENT, Progress(1, 0.5, "half")), Grant(1)]
    assert history.completes(1) == [CloseTask(1), Emit(CLIENT, Ended(1, "p", Outcome.COMPLETED, None, 2.0))]
    assert history.plugin().counts.completed == 1
    assert history.machine.next_deadline() is None


def test_a_task_before_ready_waits_and_is_sent_then() -> None:
    history = History()
    task = history.task()
    history.do(events.StartAsked())
    history.spawned()
    assert of(SendTask, history.actions) == []
    assert [send.task_id for send in of(SendTask, history.started())] == [task]


def test_a_plugin_works_on_one_task_at_a_time_in_order() -> None:
    history = History().ready()
    first, second, third = history.task(), history.task(), history.task()
    assert [send.task_id for send in of(SendTask, history.actions)] == [first]
    assert kinds(history.completes(first)) == ["CloseTask", "Ended", "SendTask"]
    history.completes(second)
    history.completes(third)
    assert [send.task_id for send in of(SendTask, history.actions)] == [first, second, third]


def test_plugins_work_beside_each_other() -> None:
    history = History(spec("a"), spec("b")).ready("a").ready("b")
    history.task("a")
    history.task("b")
    assert [send.plugin_id for send in of(SendTask, history.actions)] == ["a", "b"]


def test_a_task_for_an_unknown_plugin_is_refused_with_what_was_probably_meant() -> None:
    history = History(spec("file-info")).ready("file-info")
    assert history.submit("file-inf") == [
        Emit(CLIENT, Refused("file-inf", "there is no plugin 'file-inf' (did you mean 'file-info'?)"))
    ]


def test_a_task_for_a_plugin_that_is_over_is_refused_with_its_reason() -> None:
    history = History().ready()
    history.exited(code=3)
    assert history.submit() == [Emit(CLIENT, Refused("p", "plugin p is FAILED: exited with code 3"))]


def test_a_task_whose_plugin_ended_while_its_sample_was_read_fails() -> None:
    history = History().ready()
    history.submit()
    history.exited(code=3)
    assert kinds(history.do(events.SampleRead(1, SHA256))) == ["Accepted", "Ended"]
    assert end_of(history, 1) == ("failed", "plugin p is FAILED: exited with code 3")


def test_a_sample_that_cannot_be_read_ends_its_task() -> None:
    history = History().ready()
    history.submit()
    actions = history.do(events.SampleUnreadable(1, "cannot read the sample /samples/a: Permission denied"))
    assert kinds(actions) == ["Ended"]
    assert end_of(history, 1) == ("failed", "cannot read the sample /samples/a: Permission denied")
    assert history.do(events.SampleRead(1, SHA256)) == []


def test_a_task_that_cannot_be_sent_fails_and_the_next_one_has_its_turn() -> None:
    history = History().ready()
    first, second = history.task(), history.task()
    actions = history.do(events.SendFailed(first, "cannot send"))
    assert kinds(actions) == ["CloseTask", "Ended", "SendTask"]
    assert end_of(history, first) == ("failed", "cannot send")
    history.completes(second)
    assert end_of(history, second) == ("completed", None)
    assert history.do(events.SendFailed(first, "again")) == []


@pytest.mark.parametrize(
    ("code", "signal", "how"),
    [
        (3, None, "exited with code 3"),
        (0, None, "exited with code 0 without saying PluginStopped"),
        (None, 9, "was killed by SIGKILL (signal 9)"),
        (None, 77, "was killed by signal 77"),
    ],
)
def test_a_death_in_a_task_fails_it_at_once_and_says_how(code: int | None, signal: int | None, how: str) -> None:
    history = History().ready()
    task, queued = history.task(), history.task()
    history.wait(1.5)
    actions = history.exited(code=code, signal=signal)
    assert kinds(actions) == ["CloseTask", "Ended", "Ended", "CleanUp"]
    assert end_of(history, task) == ("failed", f"plugin p {how} during the task")
    assert end_of(history, queued) == ("failed", f"plugin p {how}; the task was not sent")
    assert history.ended[task].seconds == 1.5
    assert not history.ended[task].partial
    assert history.plugin().counts.failed == 2


def test_the_error_of_a_handler_is_the_task_s() -> None:
    history = History().ready()
    task = history.task()
    history.frames(task, error_frame(task, "Traceback\nValueError: no"))
    assert end_of(history, task) == ("failed", "Traceback\nValueError: no")
    assert history.state() is PluginState.READY


@pytest.mark.parametrize("knows_cancel", [True, False])
def test_a_running_task_is_cancelled_through_its_plugin(*, knows_cancel: bool) -> None:
    history = History().ready(says_hello=knows_cancel)
    task = history.task()
    actions = history.do(events.CancelAsked(task))
    assert actions == ([SendCancel(task, "p")] if knows_cancel else [])
    assert history.do(events.CancelAsked(task)) == []
    history.frames(task, error_frame(task, "the task was cancelled"))
    assert end_of(history, task) == ("canceled", "cancelled on request")
    assert history.plugin().counts.canceled == 1
    assert history.wait(100) == []


def test_a_task_that_was_done_before_it_noticed_the_cancel_is_completed() -> None:
    history = History().ready()
    task = history.task()
    history.do(events.CancelAsked(task))
    history.completes(task)
    assert end_of(history, task) == ("completed", None)


def test_a_task_whose_sample_is_being_read_is_cancelled_at_once() -> None:
    history = History().ready()
    history.submit()
    assert kinds(history.do(events.CancelAsked(1))) == ["Ended"]
    assert end_of(history, 1) == ("canceled", "cancelled on request")
    assert history.do(events.SampleRead(1, SHA256)) == []


def test_a_task_in_the_queue_is_cancelled_at_once() -> None:
    history = History().ready()
    first, second, third = history.task(), history.task(), history.task()
    assert kinds(history.do(events.CancelAsked(second))) == ["Ended"]
    history.completes(first)
    assert [send.task_id for send in of(SendTask, history.actions)] == [first, third]


def test_a_task_whose_results_are_being_stored_is_not_cancelled_any_more() -> None:
    history = History().ready()
    task = history.task()
    history.result(task, "big", b"x" * 70_000)
    history.completes(task)
    assert history.do(events.CancelAsked(task)) == []
    history.stored(task, "big")
    assert end_of(history, task) == ("completed", None)


def test_a_cancel_of_a_task_that_is_over_or_never_was_does_nothing() -> None:
    history = History().ready()
    task = history.task()
    history.completes(task)
    assert history.do(events.CancelAsked(task)) == []
    assert history.do(events.CancelAsked(99)) == []


def test_a_handler_that_ignores_a_cancel_is_killed_and_its_plugin_goes_on_with_the_queue() -> None:
    history = History().ready()
    task, queued = history.task(), history.task()
    history.do(events.CancelAsked(task))
    assert signals(history.wait(CANCEL_GRACE - 0.01)) == []
    assert signals(history.wait(0.01)) == [("p", KILL)]
    history.exited(signal=KILL)
    assert end_of(history, task) == ("canceled", "cancelled on request")
    history.spawned()
    history.started()
    assert of(SendTask, history.actions)[-1].task_id == queued
    history.completes(queued)
    assert end_of(history, queued) == ("completed", None)
    assert "was killed because its task had to end, and did not within 5s" in said(history.actions)


@pytest.mark.parametrize("answer", ["success", "error", "none", "broken"])
def test_a_task_that_takes_too_long_is_timed_out_whatever_its_plugin_says_then(answer: str) -> None:
    history = History(spec("p", task_timeout=30.0)).ready()
    task = history.task(timeout=2.0)
    assert history.wait(1.99) == []
    assert history.wait(0.01) == [SendCancel(task, "p")]
    match answer:
        case "success":
            history.completes(task)
        case "error":
            history.frames(task, error_frame(task, "the task was cancelled"))
        case "broken":
            history.do(events.ResponsesBroken(task, "chunk 3 from nowhere"))
        case _:
            assert signals(history.wait(CANCEL_GRACE)) == [("p", KILL)]
            history.exited(signal=KILL)
    assert end_of(history, task) == ("timeout", "took longer than 2s")
    assert history.plugin().counts.failed == 1


def test_the_plugin_s_own_time_limit_counts_from_the_moment_a_task_is_sent() -> None:
    history = History(spec("p", task_timeout=3.0)).ready()
    first, second = history.task(), history.task()
    history.wait(2.5)
    history.completes(first)
    assert history.wait(2.9) == []
    assert history.wait(0.1) == [SendCancel(second, "p")]


def test_a_plugin_without_a_time_limit_has_none() -> None:
    history = History(spec("p", task_timeout=None)).ready()
    history.task()
    assert history.machine.next_deadline() is None


def test_a_time_limit_without_end_is_none() -> None:
    history = History().ready()
    task = history.task(timeout=float("inf"))
    assert history.wait(1e9) == []
    history.completes(task)
    assert end_of(history, task) == ("completed", None)


def test_the_tasks_of_a_client_that_left_end_and_no_others() -> None:
    history = History().ready()
    running, other = history.task(client=1), history.task(client=2)
    queued = history.task(client=1)
    reading = of(ReadSample, history.submit(client=1))[0].task_id
    actions = history.do(events.ClientLeft(1))
    assert of(SendCancel, actions) == [SendCancel(running, "p")]
    assert list(history.ended) == [queued, reading]
    assert records(Ended, actions) == []
    history.frames(running, error_frame(running, "the task was cancelled"))
    assert end_of(history, running) == ("canceled", "whoever sent it went away")
    assert of(SendTask, history.actions)[-1].task_id == other


def test_responses_that_break_the_protocol_fail_the_task_and_no_other() -> None:
    history = History().ready()
    first, second = history.task(), history.task()
    actions = history.do(events.ResponsesBroken(first, "chunk 3 from nowhere"))
    assert kinds(actions) == ["SendCancel", "CloseTask", "Ended", "SendTask"]
    assert end_of(history, first) == ("failed", "plugin p broke the protocol: chunk 3 from nowhere")
    assert "error: task 1: plugin p broke the protocol" in said(actions)
    assert history.do(events.ResponsesBroken(first, "again")) == []
    history.completes(second)
    assert end_of(history, second) == ("completed", None)


def test_a_response_that_comes_after_the_end_gives_its_credit_back_and_nothing_else() -> None:
    history = History().ready()
    task = history.task()
    history.do(events.ResponsesBroken(task, "x"))
    assert history.frames(task, progress_frame(task, 0.5, "late")) == [Grant(task)]


def test_a_warning_is_one_and_no_progress() -> None:
    history = History().ready()
    task = history.task()
    actions = history.frames(task, progress_frame(task, 0.0, "low memory", warning=True))
    assert records(TaskWarning, actions) == [TaskWarning(task, "low memory")]
    assert records(Progress, actions) == []
