"""What a plugin's loop sees of the world beside its ports, where the supervisor is a test."""

import os
from contextlib import suppress

from plugin_runtime.ports.base import PluginPorts

__all__ = ["StagedOutside"]


class StagedOutside:
    """A supervisor's process that is there until `end` is called.

    Args:
        ports: The plugin's; what is watched ends their wait.
    """

    def __init__(self, ports: PluginPorts) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ended = False
        ports.watch(self._fd)

    def end(self) -> None:
        """Be gone, as a supervisor that was killed: the plugin has a second to end."""
        self._ended = True
        os.eventfd_write(self._fd, 1)

    def stop_asked(self) -> bool:
        """Return whether a signal came; none does."""
        return False

    def supervisor_ended(self) -> bool:
        """Return whether `end` was called."""
        if self._ended:
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)  # or it would end every wait from now on
        return self._ended

    def close(self) -> None:
        """Let go of it, once the loop has ended."""
        os.close(self._fd)
