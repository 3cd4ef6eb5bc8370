"""What a service manager is told of the plugins: whether the service is ready, and one line of text."""

from collections.abc import Sequence

from malbox_cli.output.text import one_line
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["describe", "is_up"]

UNDER_WAY = (PluginState.PENDING, PluginState.STARTING, PluginState.STOPPING)
MAX_NAMED = 4
MAX_REASON = 160


def is_up(plugins: Sequence[PluginRecord]) -> bool:
    """Return whether every plugin that can be READY is, or was, and there is one at least.

    Nobody waits for one that has failed before, nor for those that wait for it: that could take for ever.
    """
    failed_before = [plugin for plugin in plugins if plugin.state is PluginState.BACKOFF or plugin.restarts.count]
    first_time = [plugin for plugin in plugins if plugin not in failed_before]
    if any(plugin.state is PluginState.STARTING for plugin in first_time):
        return False
    if not failed_before and any(plugin.state is PluginState.PENDING for plugin in plugins):
        return False
    good = (PluginState.EXITED, PluginState.IDLE)
    return any(plugin.state.is_up or plugin.state in good for plugin in plugins)


def describe(plugins: Sequence[PluginRecord]) -> str:
    """Return one line, such as ``3 of 4 plugins READY; yara FAILED: exited with code 3``."""
    good = sum(plugin.standing.is_up or plugin.is_idle for plugin in plugins)
    text = f"{good} of {len(plugins)} plugins READY"
    others = [plugin for plugin in plugins if plugin.standing not in (PluginState.READY, PluginState.IDLE)]
    # Those that something is wrong with first: of the others it is only a matter of time.
    others.sort(key=lambda plugin: plugin.standing in UNDER_WAY)
    for plugin in others[:MAX_NAMED]:
        text += f"; {plugin.id} {plugin.standing.value}"
        if plugin.standing not in UNDER_WAY:
            text += f": {_cut(one_line(plugin.reason))}"
    if len(others) > MAX_NAMED:
        text += f"; and {len(others) - MAX_NAMED} more"
    return text


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."
