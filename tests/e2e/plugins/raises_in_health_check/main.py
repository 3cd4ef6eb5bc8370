"""Its health check raises; otherwise it works."""

import plugin_runtime as malbox


class RaisesInHealthCheck(malbox.Plugin):
    """Cannot say how it is."""

    def health_check(self) -> malbox.HealthStatus:
        """Raise."""
        raise ConnectionError("the signature server does not answer")


if __name__ == "__main__":
    malbox.run(RaisesInHealthCheck())
