"""The supervisor's clock: it stands still while the supervisor does, so that nobody is late for that.

Whoever presses Ctrl-Z stops the plugins too. When all go on, a task that had ten seconds left has ten seconds left.
"""

import time

__all__ = ["Clock"]

LATE_SECONDS = 0.5
"""How much later than it said whoever asks may come; if it is more, something kept this process from running."""
MAX_STOPS = 256
"""How many stops are told apart, for ages: a machine that is too busy may stop us every few seconds, for years."""


class Clock:
    """The monotonic time without the time that this process was stopped. It never goes back.

    Some stops cannot be caught, and SIGCONT, which ends them, may be dealt with a moment after everything goes on. So
    the clock is told how long nobody will ask for the time, and where that was much longer it counts none of it. What
    nobody can know is when in that time the stop began: the others rather have a few seconds more than a few less.
    """

    def __init__(self) -> None:
        self._stood_still = 0.0
        self._last = time.monotonic()
        self._quiet = 0.0
        self._stops: list[tuple[float, float]] = []

    def now(self) -> float:
        """Return the seconds since some moment in the past."""
        now = time.monotonic() - self._stood_still
        if now - self._last > self._quiet + LATE_SECONDS:
            self.skip()
        elif now > self._last:
            self._last = now
        self._quiet = 0.0
        return self._last

    def expect(self, seconds: float) -> None:
        """Say how long it may take until `now` is asked for the next time."""
        self._quiet = seconds

    def skip(self) -> None:
        """Let the time since `now` was last asked for not count: this process was stopped in it."""
        seconds = time.monotonic() - self._stood_still - self._last
        if seconds > 0:
            self._stops.append((self._last, seconds))
            self._stood_still += seconds
            if len(self._stops) > MAX_STOPS:
                (_, first), (at, second), *later = self._stops
                self._stops = [(at, first + second), *later]

    def age(self, moment: float) -> float:
        """Return how many seconds have really passed since a moment of this clock: those that do not count too."""
        return self.now() - moment + sum(seconds for at, seconds in self._stops if at >= moment)
