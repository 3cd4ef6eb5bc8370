"""How a supervisor ends: the exit code, and the plugin that is to blame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["ExitOn", "Verdict", "reason_to_exit", "verdict"]

ExitOn = Literal["failure", "any", "never"]
"""When a supervisor ends by itself: once a plugin failed, once any ended, or not even when none runs any more."""

EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ends.

    Attributes:
        code: The exit code.
        culprit: A line that names the plugin that is to blame; empty where none is.
    """

    code: int
    culprit: str = ""


def reason_to_exit(plugins: Sequence[PluginRecord], exit_on: ExitOn | None) -> str | None:
    """Return why a supervisor is to stop by itself now, or None.

    Args:
        plugins: How they stand.
        exit_on: What the operator wants; None: it stops when no plugin runs any more.
    """
    if exit_on == "never":
        return None
    if exit_on is not None:
        ended = PluginState.FAILED, *((PluginState.EXITED,) if exit_on == "any" else ())
        for plugin in plugins:
            if plugin.state in ended:
                return f"plugin {plugin.id} is {plugin.state.value} (--exit-on {exit_on})"
    if all(plugin.is_gone for plugin in plugins) and not any(plugin.state is PluginState.STOPPED for plugin in plugins):
        return "no plugin runs any more"
    return None  # what an operator stopped is going to be started again


def verdict(plugins: Sequence[PluginRecord], *, signal: int | None, ended_by_itself: bool) -> Verdict:
    """Return how a supervisor ends whose plugins have all ended.

    It is never 0 when a plugin failed, or when one was killed, even one that came back afterwards.

    Args:
        plugins: How they ended.
        signal: The signal that stopped the supervisor, or None.
        ended_by_itself: Whether it ended because of its plugins, and not because it was told to.
    """
    failed = [plugin for plugin in plugins if plugin.state is PluginState.FAILED]
    # What was skipped failed because of another one.
    failed.sort(key=lambda plugin: (plugin.last_exit is None, plugin.since))
    culprit, code = "", 0
    if failed:
        first = failed[0]
        culprit, code = f"plugin {first.id} FAILED: {first.reason}", EXIT_FAILED
        if ended_by_itself and first.last_exit is not None and first.last_exit.signal is not None:
            code = 128 + first.last_exit.signal
    elif killed := [plugin for plugin in plugins if plugin.killed]:
        first = killed[0]
        again = f" (it was started again {_times(first.restarts.count)})" if first.restarts.count else ""
        culprit, code = f"plugin {first.id} {first.killed}{again}", EXIT_FAILED
    return Verdict(code if signal is None else 128 + signal, culprit)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
