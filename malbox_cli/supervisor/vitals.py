"""Whether a plugin that is up is well: what it says when it is asked, and the beats of its loop."""

from dataclasses import dataclass

from malbox_cli.manifest.units import format_duration

__all__ = ["MISSED_BEATS", "Vitals"]

MISSED_BEATS = 3
"""Beats that may be missing before something is wrong; one later the plugin is ended."""


@dataclass(slots=True)
class Vitals:
    """What is known of one process, from the moment that it is READY. Times are seconds of the caller's clock.

    Attributes:
        health_interval: Seconds between two questions; None: it is not asked.
        heartbeat: Seconds between two beats; None: it does not beat.
        complaint: What it answered when it was asked, if it was not that all is well; empty where all is well.
        silence: What is wrong with its beats; empty where nothing is.
    """

    health_interval: float | None = None
    heartbeat: float | None = None
    complaint: str = ""
    silence: str = ""
    _ask_at: float | None = None
    _asked_at: float | None = None
    _was_busy: bool = False
    _last_beat: float = 0.0

    @staticmethod
    def begin(health_interval: float | None, heartbeat: float | None, now: float) -> "Vitals":
        """Return the vitals of a process that has just become READY."""
        vitals = Vitals(health_interval, heartbeat)
        vitals._last_beat = now
        if health_interval is not None:
            vitals._ask_at = now + health_interval
        return vitals

    @property
    def problem(self) -> str:
        """What is wrong, in words; empty where nothing is."""
        return "; ".join(part for part in (self.complaint, self.silence) if part)

    def deadline(self) -> float | None:
        """Return when `tick` has something to do at the latest."""
        times = [self._ask_at]
        if self.heartbeat is not None:
            late = MISSED_BEATS + 1 if self.silence else MISSED_BEATS
            times.append(self._last_beat + late * self.heartbeat)
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float, *, is_busy: bool) -> bool:
        """Look at what is due; return whether the plugin is to be asked now.

        Args:
            now: The time.
            is_busy: Whether it works on a task, and so answers only afterwards.
        """
        if self.heartbeat is not None and now >= self._last_beat + MISSED_BEATS * self.heartbeat:
            self.silence = f"its loop has missed {MISSED_BEATS} beats (heartbeat = {format_duration(self.heartbeat)})"
        self._was_busy |= is_busy
        if self._ask_at is None or now < self._ask_at or self.health_interval is None:
            return False
        self._ask_at = now + self.health_interval
        if self._asked_at is None:
            self._asked_at, self._was_busy = now, is_busy
            return True
        if not self._was_busy:
            self.complaint = f"it has not said how it is for {format_duration(round(now - self._asked_at, 3))}"
        self._was_busy = is_busy
        return False

    def is_dead(self, now: float) -> bool:
        """Whether its loop has stood still for so long that it has to be ended."""
        return self.heartbeat is not None and now >= self._last_beat + (MISSED_BEATS + 1) * self.heartbeat

    def answered(self, level: str, reason: str) -> None:
        """Take the answer to a question; `level` is healthy, degraded or unhealthy."""
        self._asked_at = None
        self.complaint = "" if level == "healthy" else f"it says that it is {level}: {reason or 'it does not say why'}"

    def beat(self, now: float) -> None:
        """Take a beat."""
        self._last_beat, self.silence = now, ""
