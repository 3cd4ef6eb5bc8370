"""What a plugin says of its own health."""

from dataclasses import dataclass

__all__ = ["HealthStatus"]


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """Healthy, degraded or unhealthy. Make one with the methods of these names.

    Attributes:
        is_ready: True for healthy only.
        reason: What is wrong, in words; empty for healthy.
        level: ``"healthy"``, ``"degraded"`` or ``"unhealthy"``.
    """

    is_ready: bool
    reason: str
    level: str

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
