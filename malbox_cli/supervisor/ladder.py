"""How a plugin's process is ended: a word, half of the time later SIGTERM, at its end SIGKILL; and it is told once."""

import signal

from malbox_cli.manifest.units import format_duration
from malbox_cli.supervisor.actions import Action, Say, Signal
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["GIVE_UP_SECONDS", "LINGER_SECONDS", "Ladder", "outlook"]

LINGER_SECONDS = 2.0
"""How long a process may live on after it said PluginStopped."""

GIVE_UP_SECONDS = 5.0
"""How long a process may take to end after SIGKILL: one that the kernel does not let go cannot be waited for."""


class Ladder:
    """Sends the signals whose time has come. Every method appends what is to be done to `out`.

    Args:
        out: Where the actions go.
        stop_timeout: Seconds from the word to stop until a plugin is killed.
    """

    def __init__(self, out: list[Action], stop_timeout: float) -> None:
        self._out = out
        self.stop_timeout = stop_timeout

    def begin(self, plugin: PluginRecord, now: float, *, listens: bool) -> None:
        """Begin to end a plugin that was told to stop, or that does not listen and is told by a signal."""
        half = self.stop_timeout / 2
        plugin.set_ladder(now + half if listens else now, now + self.stop_timeout)
        if not listens:
            self.climb(plugin, now)

    def linger(self, plugin: PluginRecord, now: float) -> None:
        """Give a process that said PluginStopped a moment to end."""
        plugin.set_ladder(now + LINGER_SECONDS, now + LINGER_SECONDS + self.stop_timeout / 2)

    def kill_now(self, plugin: PluginRecord, why: str, now: float) -> None:
        """Kill a plugin now; `why` becomes the reason once it ended."""
        plugin.doom = plugin.doom or why
        plugin.kill_at = now
        self.climb(plugin, now)

    def abort(self, plugin: PluginRecord, why: str, now: float) -> None:
        """Have a plugin say where it stands and end, and kill it where it does not."""
        plugin.doom = why
        self._out += [Signal(plugin.id, signal.SIGABRT), Signal(plugin.id, signal.SIGCONT)]
        plugin.set_ladder(None, now + LINGER_SECONDS)

    def climb(self, plugin: PluginRecord, now: float) -> None:
        """Send the signals whose time has come."""
        if not plugin.state.has_process:
            return
        if plugin.kill_at is not None and plugin.kill_at <= now:
            plugin.clear_ladder()
            plugin.give_up_at = now + GIVE_UP_SECONDS
            if plugin.doom is None:
                plugin.doom = f"was killed because it did not end within {self._patience(plugin)}"
            self._out.append(Say("warning", f"{plugin.id}: killing it", plugin.id))
            self._out.append(Signal(plugin.id, signal.SIGKILL))
        elif plugin.term_at is not None and plugin.term_at <= now:
            plugin.term_at = None
            self._out += [Signal(plugin.id, signal.SIGTERM), Signal(plugin.id, signal.SIGCONT)]

    def _patience(self, plugin: PluginRecord) -> str:
        if plugin.state is PluginState.STOPPING:
            return f"{format_duration(self.stop_timeout)} (stop_timeout)"
        return f"{format_duration(LINGER_SECONDS + self.stop_timeout / 2)} of saying PluginStopped"


def outlook(plugin: PluginRecord, now: float) -> str:
    """Return who is waited for, and how long still."""
    if plugin.kill_at is not None:
        return f"{plugin.id} (killed in {max(0.0, plugin.kill_at - now):.0f} s)"
    if plugin.give_up_at is not None:
        return f"{plugin.id} (killed; given up in {max(0.0, plugin.give_up_at - now):.0f} s)"
    return plugin.id
