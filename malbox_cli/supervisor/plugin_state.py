"""The states of a plugin as the supervisor sees it, as a table; what is not in it is refused."""

from enum import Enum

__all__ = ["TABLE", "PluginEvent", "PluginState", "next_plugin_state"]


class PluginState(Enum):
    """Where a plugin stands."""

    PENDING = "PENDING"  # it is to be started, and was not yet: it may wait for others to be READY
    IDLE = "IDLE"  # it has a process only while there is something to do, and there is nothing
    STARTING = "STARTING"  # the process is there, PluginStarted has not come
    READY = "READY"  # PluginStarted came: it takes tasks
    DEGRADED = "DEGRADED"  # it takes tasks, and something is wrong with it
    STOPPING = "STOPPING"  # it was told to end
    STOPPED = "STOPPED"  # it ended as it was told to
    EXITED = "EXITED"  # it ended by itself, in order
    BACKOFF = "BACKOFF"  # its process ended or could not be started, and it will be started again in a moment
    FAILED = "FAILED"  # it could not be started, or died, and stays so

    @property
    def has_process(self) -> bool:
        """Whether there is a process of it."""
        return self in _WITH_PROCESS

    @property
    def is_up(self) -> bool:
        """Whether it said that it is ready, and was not told to end."""
        return self in (PluginState.READY, PluginState.DEGRADED)

    @property
    def is_over(self) -> bool:
        """Whether it has no process and gets none by itself."""
        return self in (PluginState.STOPPED, PluginState.EXITED, PluginState.FAILED)


_WITH_PROCESS = frozenset({PluginState.STARTING, PluginState.READY, PluginState.DEGRADED, PluginState.STOPPING})


class PluginEvent(Enum):
    """What moves it."""

    START_ASKED = "somebody wants it to run"
    NOT_NEEDED = "there is nothing to do for it"
    SPAWNED = "its process was started"
    SPAWN_FAILED = "its process could not be started"
    SKIPPED = "a plugin that it waits for will not be READY"
    STARTED = "PluginStarted came"
    WORSENED = "it said that something is wrong with it, or its loop does not beat"
    RECOVERED = "all is well again"
    STOP_ASKED = "it was told to end"
    ENDED_IN_ORDER = "its process ended, and all is well"
    DIED = "its process ended otherwise"
    RESTART_DUE = "its process ended or could not be started, and it is to be started again"


_S, _E = PluginState, PluginEvent
_WITHOUT_PROCESS = [state for state in PluginState if not state.has_process]
TABLE: dict[tuple[PluginState, PluginEvent], PluginState] = {
    **{(state, _E.START_ASKED): _S.PENDING for state in _WITHOUT_PROCESS},
    (_S.PENDING, _E.NOT_NEEDED): _S.IDLE,
    (_S.IDLE, _E.STOP_ASKED): _S.STOPPED,
    (_S.PENDING, _E.SPAWNED): _S.STARTING,
    (_S.PENDING, _E.SPAWN_FAILED): _S.FAILED,
    (_S.PENDING, _E.RESTART_DUE): _S.BACKOFF,
    (_S.PENDING, _E.SKIPPED): _S.FAILED,
    (_S.PENDING, _E.STOP_ASKED): _S.STOPPED,
    (_S.STARTING, _E.STARTED): _S.READY,
    (_S.STARTING, _E.STOP_ASKED): _S.STOPPING,
    (_S.STARTING, _E.DIED): _S.FAILED,
    (_S.STARTING, _E.RESTART_DUE): _S.BACKOFF,
    **{(state, _E.WORSENED): _S.DEGRADED for state in (_S.READY, _S.DEGRADED)},
    (_S.DEGRADED, _E.RECOVERED): _S.READY,
    **{(state, _E.STOP_ASKED): _S.STOPPING for state in (_S.READY, _S.DEGRADED)},
    **{(state, _E.ENDED_IN_ORDER): _S.EXITED for state in (_S.READY, _S.DEGRADED)},
    **{(state, _E.DIED): _S.FAILED for state in (_S.READY, _S.DEGRADED)},
    **{(state, _E.RESTART_DUE): _S.BACKOFF for state in (_S.READY, _S.DEGRADED)},
    (_S.STOPPING, _E.STARTED): _S.STOPPING,
    (_S.STOPPING, _E.STOP_ASKED): _S.STOPPING,
    (_S.STOPPING, _E.ENDED_IN_ORDER): _S.STOPPED,
    (_S.STOPPING, _E.DIED): _S.STOPPED,
    (_S.STOPPED, _E.STOP_ASKED): _S.STOPPED,
    (_S.EXITED, _E.STOP_ASKED): _S.EXITED,
    (_S.FAILED, _E.STOP_ASKED): _S.FAILED,
    (_S.BACKOFF, _E.SPAWNED): _S.STARTING,
    (_S.BACKOFF, _E.SPAWN_FAILED): _S.FAILED,
    (_S.BACKOFF, _E.RESTART_DUE): _S.BACKOFF,
    (_S.BACKOFF, _E.STOP_ASKED): _S.STOPPED,
}


def next_plugin_state(state: PluginState, event: PluginEvent) -> PluginState:
    """Return the state after `event`.

    Raises:
        KeyError: That event cannot happen in that state; the caller is wrong.
    """
    return TABLE[state, event]
