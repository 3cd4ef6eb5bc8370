"""How much may be taken from one source at once and in a second, so that there is time for the others."""

__all__ = ["Allowance"]


class Allowance:
    """Grows with time up to a limit, and is spent.

    Args:
        burst: The limit, which is there at first.
        rate: How much it grows in a second.
    """

    def __init__(self, burst: int, rate: int) -> None:
        self._burst = burst
        self._rate = rate
        self._left = float(burst)
        self._at: float | None = None

    def spend(self, size: int, now: float) -> float:
        """Take note that `size` was taken at the time `now`; return how many seconds nothing is to be taken then."""
        grown = 0.0 if self._at is None else (now - self._at) * self._rate
        self._at = now
        self._left = min(self._burst, self._left + grown) - size
        return max(0.0, -self._left / self._rate)
