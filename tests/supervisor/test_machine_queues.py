"""How tasks wait: in order, in bounds, and for processes that have room for them."""

import pytest
from histories import CLIENT, SHA256, History, kinds, of, records, spec

from malbox_cli.control.records import Ended, Outcome, Refused
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import CheckSamples, Emit, ReadSample, ReserveIds, SendCancel, SendTask
from malbox_cli.supervisor.dispatcher import FRESH_SECONDS
from malbox_cli.supervisor.entrance import MAX_WAITING
from malbox_cli.supervisor.pools import PLAIN_IN_FLIGHT
from malbox_cli.supervisor.task_ids import IDS_AT_ONCE
from plugin_runtime.wire.names import CREDIT_SLOTS

KNOWS = ("cancel", "parallel")


def sent(history: History) -> list[tuple[int, str]]:
    return [(send.task_id, send.plugin_id) for send in of(SendTask, history.actions)]


def sent_ids(history: History) -> list[int]:
    return [task for task, _ in sent(history)]


def instances(count: int, **fields: object) -> list[PluginSpec]:
    return [spec(f"p-{number}", group="p", **fields) for number in range(1, count + 1)]


def up(history: History, *plugin_ids: str, extensions: tuple[str, ...] = KNOWS) -> History:
    for plugin_id in plugin_ids:
        history.spawned(plugin_id)
        history.started(plugin_id, extensions=extensions)
    return history


def test_a_higher_priority_is_earlier_and_within_one_the_first_is() -> None:
    history = up(History(), "p")
    running = history.task()
    low, first, second, high = (history.task(priority=priority) for priority in (-1, 0, 0, 5))
    for task in (running, high, first, second, low):
        history.completes(task)
    assert sent_ids(history) == [running, high, first, second, low]


def test_what_finds_no_room_in_the_queue_is_refused_with_how_much_waits() -> None:
    history = up(History(spec("p", queue_size=2)), "p")
    running, *_ = (history.task() for _ in range(3))
    assert history.submit() == [
        Emit(
            CLIENT,
            Refused("p", "the queue of plugin p is full: 2 tasks wait (queue_size); send it later, or with --wait"),
        )
    ]
    history.completes(running)
    assert kinds(history.submit()) == ["ReadSample"]


def test_those_whose_samples_are_being_read_wait_too() -> None:
    history = up(History(spec("p", queue_size=1)), "p")
    assert kinds(history.submit()) == ["ReadSample"]
    assert kinds(history.submit()) == ["Refused"]


def test_who_waits_for_room_is_let_in_once_there_is_some() -> None:
    history = up(History(spec("p", queue_size=1)), "p")
    running, queued = history.task(), history.task()
    assert history.submit(waits=True, client=1) == []
    assert history.submit(waits=True, client=2) == []
    assert of(ReadSample, history.completes(running)) == [ReadSample(3, "/samples/a")]
    history.do(events.SampleRead(3, SHA256))
    assert of(ReadSample, history.do(events.CancelAsked(3))) == [ReadSample(4, "/samples/a")]
    assert sent_ids(history) == [running, queued]


def test_who_waits_for_room_does_not_once_it_has_left_or_the_plugin_has() -> None:
    history = up(History(spec("p", queue_size=1)), "p")
    running, queued = history.task(), history.task()
    for client in (1, 2):
        history.submit(waits=True, client=client)
    history.do(events.ClientLeft(1))
    actions = history.exited(code=3)
    assert [(emit.client, emit.record.error) for emit in of(Emit, actions) if isinstance(emit.record, Refused)] == [
        (2, "plugin p is FAILED: exited with code 3")
    ]
    assert {running, queued} == history.ended.keys()


def test_not_everybody_can_wait_for_room() -> None:
    history = up(History(spec("p", queue_size=1)), "p")
    history.task(), history.task()
    for _ in range(MAX_WAITING):
        assert history.submit(waits=True) == []
    (refused,) = records(Refused, history.submit(waits=True))
    assert refused.error == f"{MAX_WAITING} tasks wait for room in its queue already"
    (refused, *_) = records(Refused, history.do(events.StopAsked("x")))
    assert refused.error == "the supervisor is stopping"


def test_a_process_gets_as_many_tasks_as_it_works_on_at_once() -> None:
    history = up(History(spec("p", execution="parallel", concurrency=3)), "p")
    tasks = [history.task() for _ in range(5)]
    assert sent_ids(history) == tasks[:3]
    history.completes(tasks[1])
    assert sent_ids(history) == tasks[:4]


def test_a_plugin_that_does_not_know_how_gets_one_task_at_a_time_and_a_plain_one_no_more_than_it_can_take() -> None:
    history = up(History(spec("p", execution="unrestricted", concurrency=32)), "p", extensions=("cancel",))
    for _ in range(3):
        history.task()
    assert len(sent(history)) == 1
    history = History(spec("p", execution="unrestricted", concurrency=32))
    history.ready(says_hello=False)
    for _ in range(8):
        history.task()
    assert len(sent(history)) == PLAIN_IN_FLIGHT


def test_tasks_whose_credits_could_be_mistaken_for_each_other_do_not_run_in_one_process() -> None:
    history = up(History(spec("p", execution="parallel", concurrency=2)), "p")
    first = history.task()
    for _ in range(CREDIT_SLOTS - 1):
        history.completes(history.task())
    same, other = history.task(), history.task()
    assert same == first + CREDIT_SLOTS
    assert sent_ids(history)[-1] == other
    history.completes(first)
    assert sent_ids(history)[-1] == same


def test_tasks_go_to_the_least_busy_process_of_a_plugin() -> None:
    history = up(History(*instances(3)), "p-1", "p-2", "p-3")
    tasks = [history.task("p") for _ in range(4)]
    assert [plugin for _, plugin in sent(history)] == ["p-1", "p-2", "p-3"]
    history.completes(tasks[1])
    assert sent(history)[-1] == (tasks[3], "p-2")
    assert history.machine.queued(history.plugin("p-1")) == 0
    assert [history.plugin(f"p-{number}").counts.completed for number in (1, 2, 3)] == [0, 1, 0]


def test_a_process_that_dies_takes_only_its_own_task_with_it() -> None:
    history = up(History(*instances(2)), "p-1", "p-2")
    first, second, third = (history.task("p") for _ in range(3))
    history.exited("p-1", code=3)
    assert history.ended == {}
    history.completes(second)
    assert sent(history)[-1] == (third, "p-2")
    history.completes(third)
    history.wait(10)
    assert sent(history)[-1] == (first, "p-2")
    assert of(SendTask, history.exited("p-2", code=3)) == []
    assert {first, second, third} == history.ended.keys()


def test_nothing_runs_beside_an_exclusive_task_and_nothing_passes_it() -> None:
    history = up(History(spec("x", execution="exclusive"), spec("a"), spec("b")), "x", "a", "b")
    first = history.task("a")
    exclusive = history.task("x")
    later = history.task("b")
    assert sent(history) == [(first, "a")]
    history.completes(first)
    assert sent(history)[1:] == [(exclusive, "x")]
    history.completes(exclusive)
    assert sent(history)[2:] == [(later, "b")]


def test_an_exclusive_task_waits_for_those_that_came_before_it_and_not_for_a_higher_priority_that_comes_later() -> None:
    history = up(History(spec("x", execution="exclusive"), spec("a")), "x", "a")
    first, second = history.task("a"), history.task("a")
    exclusive = history.task("x")
    urgent = history.task("a", priority=1)
    for task in (first, urgent, second, exclusive):
        history.completes(task)
    assert sent_ids(history) == [first, urgent, second, exclusive]


def test_an_exclusive_plugin_that_is_not_up_holds_nobody_up() -> None:
    history = up(History(spec("x", execution="exclusive"), spec("a")), "a")
    history.task("x")
    assert sent_ids(history) == []
    other = history.task("a")
    assert sent_ids(history) == [other]


def test_a_sample_that_waited_is_looked_at_before_its_task_is_sent() -> None:
    history = up(History(), "p")
    running = history.task()
    waiting = [history.task(fingerprint=f"f{number}") for number in range(3)]
    history.wait(FRESH_SECONDS + 1)
    actions = history.completes(running)
    (check,) = of(CheckSamples, actions)
    assert check.samples == tuple((task, "/samples/a", f"f{number}") for number, task in enumerate(waiting))
    assert of(SendTask, actions) == []
    late = history.task(fingerprint="late")
    why = "the sample /samples/a is not there any more"
    actions = history.do(events.SamplesChecked((waiting[1], waiting[2]), ((waiting[0], why),)))
    assert [send.task_id for send in of(SendTask, actions)] == [waiting[1]]
    assert history.ended[waiting[0]] == Ended(waiting[0], "p", Outcome.FAILED, why, history.ended[waiting[0]].seconds)
    for task, after in ((waiting[1], waiting[2]), (waiting[2], late)):
        assert [send.task_id for send in of(SendTask, history.completes(task))] == [after]


def test_a_sample_that_is_looked_at_when_its_task_ends_is_nobodys_concern() -> None:
    history = up(History(), "p")
    running, waiting = history.task(), history.task(fingerprint="f")
    history.wait(FRESH_SECONDS + 1)
    history.completes(running)
    history.do(events.CancelAsked(waiting))
    assert history.do(events.SamplesChecked((), ((waiting, "gone"),))) == []
    assert history.ended[waiting].outcome is Outcome.CANCELED


def test_a_copy_is_what_the_plugin_gets() -> None:
    history = up(History(), "p")
    history.submit()
    (send,) = of(SendTask, history.do(events.SampleRead(1, SHA256, 3, "f", "/state/samples/ab/abab")))
    assert send.request.sample_path == "/state/samples/ab/abab"


def test_numbers_are_asked_for_before_they_are_used_up_and_nothing_is_taken_without_one() -> None:
    history = up(History(spec("p", queue_size=10**6)), "p")
    for number in range(IDS_AT_ONCE):
        actions = history.submit()
        assert (of(ReserveIds, actions) != []) == (number == IDS_AT_ONCE // 2), number
    (refused,) = records(Refused, history.submit())
    assert refused.error == "the ledger has given no number for it yet; try again in a moment"
    assert history.submit(waits=True) == []
    assert of(ReadSample, history.do(events.IdsReserved(5000, 10))) == [ReadSample(5000, "/samples/a")]
    assert history.machine.unused_ids == range(5001, 5010)


@pytest.mark.parametrize("is_detached", [True, False])
def test_what_a_client_sees_of_a_task_it_follows(is_detached: bool) -> None:
    history = up(History(), "p")
    task = history.task(client=1, is_detached=is_detached)
    assert history.machine.plugin_of_task(task) == "p"
    history.do(events.FollowAsked(2, task))
    history.do(events.FollowAsked(3, task))
    history.do(events.ClientLeft(3))
    assert [emit.client for emit in of(Emit, history.result(task, "r", b"1"))] == [1, 2]
    actions = history.do(events.ClientLeft(1))
    assert of(SendCancel, actions) == ([] if is_detached else [SendCancel(task, "p")])
    assert [emit.client for emit in of(Emit, history.completes(task))] == [2]
    assert history.machine.plugin_of_task(task) is None


def test_nothing_is_taken_or_sent_while_the_ledger_cannot_be_written_to() -> None:
    history = up(History(), "p")
    running, waiting = history.task(), history.task()
    history.do(events.LedgerStuck("No space left on device"))
    (refused,) = records(Refused, history.submit())
    assert refused.error == "the ledger cannot be written to, so that no task is taken: No space left on device"
    assert of(SendTask, history.completes(running)) == []
    assert [send.task_id for send in of(SendTask, history.do(events.LedgerWell()))] == [waiting]
