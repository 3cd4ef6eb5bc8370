"""When plugins are told that the analysis of a sample begins, and that it has ended."""

from malbox_cli.supervisor.sample_events import SampleEvents
from plugin_runtime.wire.messages import EventKind

STARTED, STOPPED = EventKind.SAMPLE_STARTED, EventKind.SAMPLE_STOPPED


def due(events: SampleEvents, *, all_are_up: bool = True) -> list[tuple[EventKind, int]]:
    return [(message.kind, message.associated_id) for message in events.due(all_are_up=all_are_up)]


def test_a_sample_ends_with_the_last_of_its_tasks() -> None:
    events = SampleEvents(samples=2, tasks=2)
    assert due(events) == []
    for sample in (1, 1, 2, 2):
        events.task_begun(sample)
    assert due(events) == [(STARTED, 1), (STARTED, 2)]
    events.task_ended(1)
    events.task_ended(2)
    assert due(events) == []
    events.task_ended(2)
    assert due(events) == [(STOPPED, 2)]
    events.task_ended(1)
    assert due(events) == [(STOPPED, 1)]
    assert due(events) == []


def test_a_beginning_waits_for_plugins_that_start_but_not_beyond_the_end() -> None:
    events = SampleEvents(samples=2, tasks=1)
    events.task_begun(1)
    events.task_begun(2)
    assert due(events, all_are_up=False) == []
    events.task_ended(1)
    assert due(events, all_are_up=False) == [(STARTED, 1), (STOPPED, 1)]
    assert due(events) == [(STARTED, 2)]
