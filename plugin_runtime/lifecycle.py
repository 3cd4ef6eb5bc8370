"""The states of a plugin's process, as a table; what is not in it cannot happen."""

from enum import Enum

__all__ = ["LifecycleEvent", "LifecycleState", "next_state"]


class LifecycleState(Enum):
    """Where the process stands."""

    STARTING = "starting"  # on_start runs
    READY = "ready"  # PluginStarted was published, tasks are taken
    STOPPING = "stopping"  # no task is taken any more; what runs is asked to end, then on_stop runs
    STOPPED = "stopped"  # PluginStopped was published
    FAILED = "failed"  # on_start raised; the process ends with 1


class LifecycleEvent(Enum):
    """What moves it."""

    STARTED = "on_start returned"
    START_FAILED = "on_start raised"
    STOP_ASKED = "a shutdown, a signal, or the end of the supervisor"
    STOPPED = "on_stop returned or raised"


_S, _E = LifecycleState, LifecycleEvent
TABLE: dict[tuple[LifecycleState, LifecycleEvent], LifecycleState] = {
    (_S.STARTING, _E.STARTED): _S.READY,
    (_S.STARTING, _E.START_FAILED): _S.FAILED,
    (_S.STARTING, _E.STOP_ASKED): _S.STOPPING,
    (_S.READY, _E.STOP_ASKED): _S.STOPPING,
    (_S.STOPPING, _E.STARTED): _S.STOPPING,
    (_S.STOPPING, _E.START_FAILED): _S.FAILED,
    (_S.STOPPING, _E.STOP_ASKED): _S.STOPPING,
    (_S.STOPPING, _E.STOPPED): _S.STOPPED,
    (_S.STOPPED, _E.STOP_ASKED): _S.STOPPED,
    (_S.FAILED, _E.STOP_ASKED): _S.FAILED,
}


def next_state(state: LifecycleState, event: LifecycleEvent) -> LifecycleState:
    """Return the state after `event`.

    Raises:
        KeyError: That event cannot happen in that state; the caller is wrong.
    """
    return TABLE[state, event]
