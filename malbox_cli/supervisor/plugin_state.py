"""The states of a plugin as the supervisor sees it, as a table; what is not in it is refused."""

from enum import Enum

__all__ = ["TABLE", "PluginEvent", "PluginState", "next_plugin_state"]


class PluginState(Enum):
    """Where a plugin stands."""

    PENDING = "PENDING"  # not started yet
    STARTING = "STARTING"  # the process is there, PluginStarted has not come
    READY = "READY"  # PluginStarted came: it takes tasks
    STOPPING = "STOPPING"  # it was told to end
    STOPPED = "STOPPED"  # it ended as it was told to
    EXITED = "EXITED"  # it ended by itself, in order
    FAILED = "FAILED"  # it could not be started, or died

    @property
    def is_over(self) -> bool:
        """Whether no process of it is left."""
        return self in (PluginState.PENDING, PluginState.STOPPED, PluginState.EXITED, PluginState.FAILED)


class PluginEvent(Enum):
    """What moves it."""

    SPAWNED = "its process was started"
    SPAWN_FAILED = "its process could not be started"
    STARTED = "PluginStarted came"
    STOP_ASKED = "it was told to end"
    ENDED_IN_ORDER = "it said PluginStopped and exited with 0"
    DIED = "it ended otherwise"


_S, _E = PluginState, PluginEvent
TABLE: dict[tuple[PluginState, PluginEvent], PluginState] = {
    (_S.PENDING, _E.SPAWNED): _S.STARTING,
    (_S.PENDING, _E.SPAWN_FAILED): _S.FAILED,
    (_S.PENDING, _E.STOP_ASKED): _S.STOPPED,
    (_S.STARTING, _E.STARTED): _S.READY,
    (_S.STARTING, _E.STOP_ASKED): _S.STOPPING,
    (_S.STARTING, _E.ENDED_IN_ORDER): _S.FAILED,
    (_S.STARTING, _E.DIED): _S.FAILED,
    (_S.READY, _E.STOP_ASKED): _S.STOPPING,
    (_S.READY, _E.ENDED_IN_ORDER): _S.EXITED,
    (_S.READY, _E.DIED): _S.FAILED,
    (_S.STOPPING, _E.STARTED): _S.STOPPING,
    (_S.STOPPING, _E.STOP_ASKED): _S.STOPPING,
    (_S.STOPPING, _E.ENDED_IN_ORDER): _S.STOPPED,
    (_S.STOPPING, _E.DIED): _S.STOPPED,
    (_S.STOPPED, _E.STOP_ASKED): _S.STOPPED,
    (_S.EXITED, _E.STOP_ASKED): _S.EXITED,
    (_S.FAILED, _E.STOP_ASKED): _S.FAILED,
    (_S.STOPPED, _E.SPAWNED): _S.STARTING,
    (_S.EXITED, _E.SPAWNED): _S.STARTING,
    (_S.FAILED, _E.SPAWNED): _S.STARTING,
    (_S.STOPPED, _E.SPAWN_FAILED): _S.FAILED,
    (_S.EXITED, _E.SPAWN_FAILED): _S.FAILED,
    (_S.FAILED, _E.SPAWN_FAILED): _S.FAILED,
}


def next_plugin_state(state: PluginState, event: PluginEvent) -> PluginState:
    """Return the state after `event`.

    Raises:
        KeyError: That event cannot happen in that state; the caller is wrong.
    """
    return TABLE[state, event]
