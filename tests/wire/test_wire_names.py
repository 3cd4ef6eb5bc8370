from collections.abc import Callable

import pytest

from plugin_runtime.wire import names
from plugin_runtime.wire.names import DaemonWake, PluginWake, beat_slot, beat_wake, credit_wake, is_plugin_id

BAD_IDS = ["", "a b", "a/b", "a.b", "../x", "a\n", "\na", "ä", "a\0", "a" * (names.MAX_PLUGIN_ID_BYTES + 1), "٣"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (names.tasks_service, "malbox/plugin/file-info/tasks"),
        (names.results_service, "malbox/plugin/file-info/results"),
        (names.plugin_events_service, "malbox/events/plugin/file-info"),
        (names.plugin_notify_service, "malbox/plugin/file-info/notify"),
    ],
    ids=["tasks", "results", "events", "notify"],
)
def test_a_plugin_s_service_has_its_id_in_its_name_and_takes_no_other_text(
    function: Callable[[str], str], name: str
) -> None:
    assert function("file-info") == name
    assert len(function("a" * names.MAX_PLUGIN_ID_BYTES)) <= 255
    for bad in BAD_IDS:
        with pytest.raises(ValueError, match="is not a plugin id"):
            function(bad)


def test_the_longest_id_leaves_no_byte_of_the_longest_service_name_unused() -> None:
    assert len(names.results_service("a" * names.MAX_PLUGIN_ID_BYTES)) == 255


@pytest.mark.parametrize("text", ["a", "A-Z_09", "-", "_", "file-info", "a" * names.MAX_PLUGIN_ID_BYTES])
def test_letters_digits_dashes_and_underscores_are_a_plugin_id(text: str) -> None:
    assert is_plugin_id(text)


@pytest.mark.parametrize("text", BAD_IDS)
def test_anything_else_is_not_a_plugin_id(text: str) -> None:
    assert not is_plugin_id(text)


def test_the_daemon_s_names_and_the_numbers_of_the_wake_ups_are_those_of_the_protocol() -> None:
    assert names.DAEMON_EVENTS_SERVICE == "malbox/events/daemon"
    assert names.DAEMON_NOTIFY_SERVICE == "malbox/daemon/notify"
    ours = {"CREDIT": 16, "STOP": 80, "JOINED": 81, "TAKEN": 145, "SOURCE": 209}
    assert {wake.name: wake.value for wake in PluginWake} == {"TASK": 0, "DAEMON_EVENT": 1, "RESULT": 2, **ours}
    assert {wake.name: wake.value for wake in DaemonWake} == {"RESPONSE": 0, "EVENT": 1, "RESULT": 2, "BEAT": 16}
    assert (names.CHUNK_SIZE, names.MAX_NAME_BYTES, names.RESPONSE_WINDOW) == (1024 * 1024, 255, 4)


def test_a_credit_is_never_taken_for_the_word_to_stop() -> None:
    given = {credit_wake(task_id) for task_id in range(-200, 200)}
    assert given == set(range(PluginWake.CREDIT, PluginWake.CREDIT + names.CREDIT_SLOTS))
    assert given.isdisjoint({PluginWake.TASK, PluginWake.DAEMON_EVENT, PluginWake.RESULT, PluginWake.STOP})


def test_every_slot_s_heartbeat_is_an_id_of_its_own_and_comes_back() -> None:
    slots = range(names.BEAT_SLOTS)
    assert [beat_slot(beat_wake(slot)) for slot in slots] == list(slots)
    assert {beat_slot(event_id) for event_id in (*range(16), 16 + names.BEAT_SLOTS, 255)} == {None}
    assert beat_wake(names.BEAT_SLOTS - 1) <= 255  # iceoryx2 knows no larger id
    for slot in (-1, names.BEAT_SLOTS):
        with pytest.raises(ValueError, match=f"no heartbeat slot {slot}: they are numbered from 0 to 119"):
            beat_wake(slot)
