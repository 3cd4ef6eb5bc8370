"""Says of its health what a file says: a level and a reason. Without the file it is healthy."""

from pathlib import Path

import plugin_runtime as malbox


class Degrades(malbox.Plugin):
    """Is as well as the file that its configuration names."""

    def on_start(self, config: dict[str, str]) -> None:
        """Remember the file."""
        self.file = Path(config["health"])

    def health_check(self) -> malbox.HealthStatus:
        """Read the file."""
        try:
            level, _, reason = self.file.read_text().strip().partition(" ")
        except FileNotFoundError:
            return malbox.HealthStatus.Healthy()
        if level == "degraded":
            return malbox.HealthStatus.Degraded(reason)
        return malbox.HealthStatus.Unhealthy(reason)


if __name__ == "__main__":
    malbox.run(Degrades())
