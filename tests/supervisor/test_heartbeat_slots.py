"""Which plugin a heartbeat is of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.supervisor.heartbeat_slots import HeartbeatSlots
from plugin_runtime.wire.names import BEAT_SLOTS, DaemonWake, beat_wake


def test_a_plugin_keeps_its_slot_until_it_is_released_and_the_lowest_free_one_is_next() -> None:
    slots = HeartbeatSlots()
    assert not slots.are_taken
    assert [slots.take(plugin_id) for plugin_id in ("a", "b", "a", "c", "b")] == [0, 1, 0, 2, 1]
    slots.release("b")
    slots.release("never there")
    assert slots.plugin_of(beat_wake(1)) is None
    assert [slots.take(plugin_id) for plugin_id in ("c", "d", "e", "b")] == [2, 1, 3, 4]
    assert [slots.plugin_of(beat_wake(slot)) for slot in range(6)] == ["a", "d", "c", "e", "b", None]
    for plugin_id in "abcde":
        slots.release(plugin_id)
    assert not slots.are_taken


def test_what_is_no_heartbeat_is_nobodys() -> None:
    slots = HeartbeatSlots()
    for number in range(BEAT_SLOTS):
        slots.take(f"plugin-{number}")
    assert [slots.plugin_of(event_id) for event_id in (*DaemonWake, 3, 15, 16 + BEAT_SLOTS, 255)].count(None) == 7
    assert slots.plugin_of(beat_wake(BEAT_SLOTS - 1)) == f"plugin-{BEAT_SLOTS - 1}"
    with pytest.raises(ValueError, match="No heartbeat slot is free for plugin one-more: all 120 are taken"):
        slots.take("one-more")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefg"))))
def test_no_two_plugins_ever_share_a_slot(moves: list[tuple[bool, str]]) -> None:
    slots, held = HeartbeatSlots(), dict[str, int]()
    for taking, plugin_id in moves:
        if taking:
            assert slots.take(plugin_id) == held.setdefault(plugin_id, slots.take(plugin_id))
        else:
            slots.release(plugin_id)
            held.pop(plugin_id, None)
        assert len(set(held.values())) == len(held)
        assert {slots.plugin_of(beat_wake(slot)): slot for slot in held.values()} == held
    assert slots.are_taken is bool(held)
