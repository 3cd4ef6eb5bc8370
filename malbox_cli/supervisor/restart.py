"""When a plugin whose process ended by itself is started again, and when no more."""

from collections import deque
from dataclasses import dataclass, field

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.exit_status import ExitStatus

__all__ = ["MAX_STARTS", "START_WINDOW_SECONDS", "STEADY_SECONDS", "Restarts", "wants_restart"]

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0
MIN_DELAY_SECONDS = 0.05
"""A floor below the jitter: a start that fails at once must not become a loop that does nothing else."""

STEADY_SECONDS = 60.0
"""How long a plugin has to be READY until what happened before counts no more."""

MAX_STARTS = 5
START_WINDOW_SECONDS = 60.0
"""At most `MAX_STARTS` in so many seconds."""


@dataclass(slots=True)
class Restarts:
    """The starts of one plugin.

    Attributes:
        count: How often its process was started again, over the supervisor's life.
        in_a_row: How often since it last was READY for long.
    """

    count: int = 0
    in_a_row: int = 0
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_STARTS))

    def started(self, now: float) -> None:
        """Take note of a start."""
        self._starts.append(now)

    def forget(self) -> None:
        """Begin anew: an operator wants it to run, whatever happened before."""
        self.in_a_row = 0
        self._starts.clear()

    def was_ready(self, seconds: float) -> None:
        """Take note that the process that ended had been READY for so long."""
        if seconds >= STEADY_SECONDS:
            self.forget()

    def next_delay(self, jitter: float) -> float:
        """Return how many seconds to wait before the next start; each call waits twice as long at most.

        Args:
            jitter: A number from 0 to 1 that nobody can foresee: plugins that died together do not start together.
        """
        longest = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(self.in_a_row, 16))
        self.in_a_row += 1
        return max(MIN_DELAY_SECONDS, longest * jitter)

    def is_at_limit(self, at: float) -> bool:
        """Whether a start at that time would be one too many."""
        return len(self._starts) == MAX_STARTS and at - self._starts[0] < START_WINDOW_SECONDS


def wants_restart(spec: PluginSpec, status: ExitStatus, *, in_order: bool) -> bool:
    """Return whether the manifest wants a plugin started again whose process ended by itself like this.

    Args:
        spec: The plugin.
        status: How its process ended.
        in_order: Whether it ended as a plugin should, and with a code that says that all is well.
    """
    if status.code is not None and status.code in spec.no_restart_exit_codes:
        return False
    return spec.restart == "always" or (spec.restart == "on-failure" and not in_order)
