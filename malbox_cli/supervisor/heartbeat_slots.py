"""Which plugin a heartbeat is of: each plugin that beats has a slot, a small number that its event id carries."""

from plugin_runtime.wire.names import BEAT_SLOTS, beat_slot

__all__ = ["HeartbeatSlots"]


class HeartbeatSlots:
    """The slots of the plugins. A plugin keeps its slot as long as it is not released, over all of its processes."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._plugins: dict[int, str] = {}

    @property
    def are_taken(self) -> bool:
        """Whether any plugin beats."""
        return bool(self._slots)

    def take(self, plugin_id: str) -> int:
        """Return the slot of a plugin; one that has none gets the lowest that is free.

        Raises:
            ValueError: None is free. There are more of them than there can be plugins.
        """
        slot = self._slots.get(plugin_id)
        if slot is None:
            slot = next((slot for slot in range(BEAT_SLOTS) if slot not in self._plugins), None)
            if slot is None:
                raise ValueError(f"No heartbeat slot is free for plugin {plugin_id}: all {BEAT_SLOTS} are taken.")
            self._slots[plugin_id], self._plugins[slot] = slot, plugin_id
        return slot

    def release(self, plugin_id: str) -> None:
        """Free the slot of a plugin that is no more, if it has one."""
        slot = self._slots.pop(plugin_id, None)
        if slot is not None:
            del self._plugins[slot]

    def plugin_of(self, event_id: int) -> str | None:
        """Return the plugin whose heartbeat an event id is, or None if it is nobody's."""
        slot = beat_slot(event_id)
        return None if slot is None else self._plugins.get(slot)
