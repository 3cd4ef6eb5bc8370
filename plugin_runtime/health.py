"""What a plugin says of its own health."""

from dataclasses import dataclass
from typing import get_args

from plugin_runtime.wire.messages import HealthLevel

__all__ = ["HealthStatus"]


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """Healthy, degraded or unhealthy. Make one with the methods of these names.

    Attributes:
        is_ready: True for healthy only.
        reason: What is wrong, in words; empty for healthy.
        level: ``"healthy"``, ``"degraded"`` or ``"unhealthy"``.

    Raises:
        TypeError: The reason is no text, or the level none of the three.
    """

    is_ready: bool
    reason: str
    level: HealthLevel

    def __post_init__(self) -> None:
        # Authors need not check their types, and what is wrong is theirs to see, where they wrote it.
        values: tuple[object, object] = (self.level, self.reason)
        if values[0] not in get_args(HealthLevel) or not isinstance(values[1], str):
            raise TypeError(f"{values[0]!r} with the reason {values[1]!r} is no health: a level and a text make one")

    @staticmethod
    def Healthy() -> "HealthStatus":  # noqa: N802 - the name that Malbox's SDK gives it
        """All is well."""
        return HealthStatus(is_ready=True, reason="", level="healthy")

    @staticmethod
    def Degraded(reason: str) -> "HealthStatus":  # noqa: N802 - the name that Malbox's SDK gives it
        """Works, with something missing."""
        return HealthStatus(is_ready=False, reason=reason, level="degraded")

    @staticmethod
    def Unhealthy(reason: str) -> "HealthStatus":  # noqa: N802 - the name that Malbox's SDK gives it
        """Does not work."""
        return HealthStatus(is_ready=False, reason=reason, level="unhealthy")
