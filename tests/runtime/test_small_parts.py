"""The tables and values that need nothing around them: lifecycle, events, the mailbox, health, the log."""

import itertools
import os
import select
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime import log
from plugin_runtime.errors import ProtocolError
from plugin_runtime.event import Event
from plugin_runtime.health import HealthStatus
from plugin_runtime.lifecycle import LifecycleEvent, LifecycleState, next_state
from plugin_runtime.mailbox import Mailbox
from plugin_runtime.wire.messages import MAX_I32, EventKind, EventMessage

S, E = LifecycleState, LifecycleEvent
STATES = {
    (S.STARTING, E.STARTED): S.READY,
    (S.STARTING, E.START_FAILED): S.FAILED,
    (S.STARTING, E.STOP_ASKED): S.STOPPING,
    (S.READY, E.STOP_ASKED): S.STOPPING,
    (S.STOPPING, E.STARTED): S.STOPPING,
    (S.STOPPING, E.START_FAILED): S.FAILED,
    (S.STOPPING, E.STOP_ASKED): S.STOPPING,
    (S.STOPPING, E.STOPPED): S.STOPPED,
    (S.STOPPED, E.STOP_ASKED): S.STOPPED,
    (S.FAILED, E.STOP_ASKED): S.FAILED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)), ids=lambda value: value.name)
def test_every_state_and_event_gives_a_state_or_the_error(state: LifecycleState, event: LifecycleEvent) -> None:
    if (state, event) in STATES:
        assert next_state(state, event) is STATES[state, event]
    else:
        with pytest.raises(KeyError):
            next_state(state, event)


def test_a_stop_can_be_asked_for_in_every_state_and_nothing_leads_back() -> None:
    order = list(S)
    for state in S:
        assert order.index(next_state(state, E.STOP_ASKED)) >= order.index(state)


IDS = st.integers(-MAX_I32 - 1, MAX_I32)
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
EVENTS = st.one_of(
    *(
        st.builds(make, IDS)
        for make in (
            Event.task_created,
            Event.task_starting,
            Event.task_completed,
            Event.task_failed,
            Event.task_canceled,
            Event.plugin_started,
            Event.plugin_stopped,
            Event.sample_started,
            Event.sample_stopped,
            Event.sample_result_produced,
        )
    ),
    st.builds(Event.plugin_result_available, WORDS, WORDS),
    st.just(Event.daemon_shutdown()),
    st.just(Event.config_reloaded()),
)


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert Event.from_message(event.to_message()) == event


MESSAGES = [
    (Event.task_created(1), EventMessage(EventKind.TASK_CREATED, 0, 1)),
    (Event.task_starting(1), EventMessage(EventKind.TASK_STARTING, 0, 1)),
    (Event.task_completed(1), EventMessage(EventKind.TASK_COMPLETED, 0, 1)),
    (Event.task_failed(1), EventMessage(EventKind.TASK_FAILED, 0, 1)),
    (Event.task_canceled(1), EventMessage(EventKind.TASK_CANCELED, 0, 1)),
    (Event.plugin_started(1), EventMessage(EventKind.PLUGIN_STARTED, 1, 0)),
    (Event.plugin_stopped(1), EventMessage(EventKind.PLUGIN_STOPPED, 1, 0)),
    (
        Event.plugin_result_available("a", "b"),
        EventMessage(EventKind.PLUGIN_RESULT_AVAILABLE, 0, 0, b"a\0b"),
    ),
    (Event.sample_started(1), EventMessage(EventKind.SAMPLE_STARTED, 0, 1)),
    (Event.sample_stopped(1), EventMessage(EventKind.SAMPLE_STOPPED, 0, 1)),
    (Event.sample_result_produced(1), EventMessage(EventKind.SAMPLE_RESULT_PRODUCED, 0, 1)),
    (Event.daemon_shutdown(), EventMessage(EventKind.DAEMON_SHUTDOWN)),
    (Event.config_reloaded(), EventMessage(EventKind.CONFIG_RELOADED)),
]


@pytest.mark.parametrize(("event", "message"), MESSAGES, ids=lambda value: getattr(value, "kind", None))
def test_an_event_travels_as_its_message(event: Event, message: EventMessage) -> None:
    assert event.to_message() == message
    assert Event.from_message(message) == event
    assert event.kind == "".join(part.capitalize() for part in message.kind.name.split("_"))


def test_every_kind_of_event_is_in_the_table() -> None:
    assert {message.kind for _, message in MESSAGES} == set(EventKind)


def test_a_result_may_be_announced_without_its_name() -> None:
    event = Event.from_message(EventMessage(EventKind.PLUGIN_RESULT_AVAILABLE))
    assert (event.kind, event.id, event.source, event.result_name) == ("PluginResultAvailable", None, None, None)
    assert event.to_message() == EventMessage(EventKind.PLUGIN_RESULT_AVAILABLE)


def test_an_event_of_a_made_up_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'TaskEaten' is no event; make events with"):
        Event("TaskEaten").to_message()


def test_a_result_that_is_announced_in_rubbish_is_the_peers_fault() -> None:
    with pytest.raises(ProtocolError):
        Event.from_message(EventMessage(EventKind.PLUGIN_RESULT_AVAILABLE, payload=b"\xff\0x"))


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_a_mailbox_is_readable_while_something_is_in_it() -> None:
    mailbox: Mailbox[int] = Mailbox()
    try:
        assert (mailbox.take_all(), readable(mailbox.fd)) == ([], False)
        mailbox.put(1)
        mailbox.put(2)
        assert readable(mailbox.fd)
        assert mailbox.take_all() == [1, 2]
        assert (mailbox.take_all(), readable(mailbox.fd)) == ([], False)
    finally:
        mailbox.close()


def test_a_mailbox_that_was_closed_drops_what_is_put_in() -> None:
    mailbox: Mailbox[int] = Mailbox()
    fd = mailbox.fd
    mailbox.close()
    mailbox.close()
    mailbox.put(1)
    assert mailbox.take_all() == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_mailbox_loses_nothing_that_many_threads_put_in() -> None:
    mailbox: Mailbox[int] = Mailbox()
    threads = [threading.Thread(target=lambda: [mailbox.put(n) for n in range(500)]) for _ in range(4)]
    taken: list[int] = []
    try:
        for thread in threads:
            thread.start()
        while len(taken) < 2000:
            assert select.select([mailbox.fd], [], [], 10)[0]
            taken += mailbox.take_all()
        for thread in threads:
            thread.join()
    finally:
        mailbox.close()
    assert sorted(taken) == sorted(list(range(500)) * 4)


@pytest.mark.parametrize(
    ("status", "is_ready", "reason"),
    [
        (HealthStatus.Healthy(), True, ""),
        (HealthStatus.Degraded("slow"), False, "slow"),
        (HealthStatus.Unhealthy("no rules"), False, "no rules"),
    ],
)
def test_health_says_whether_it_is_ready_and_why_not(status: HealthStatus, is_ready: bool, reason: str) -> None:
    assert (status.is_ready, status.reason) == (is_ready, reason)


def test_the_five_functions_are_a_way_into_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        for function in (log.trace, log.debug, log.info, log.warn, log.error):
            function("100 % %s")
    assert [record.levelno for record in caplog.records] == [5, 10, 20, 30, 40]
    assert {record.getMessage() for record in caplog.records} == {"100 % %s"}
    assert {record.name for record in caplog.records} == {"malbox.plugin"}
