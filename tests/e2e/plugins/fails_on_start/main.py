"""Raises in `on_start`."""

import plugin_runtime as malbox


class FailsOnStart(malbox.Plugin):
    """Misses something."""

    def on_start(self, config: dict[str, str]) -> None:
        """Fail."""
        raise RuntimeError(f"the signature database is older than {config.get('age', 'a year')}")


if __name__ == "__main__":
    malbox.run(FailsOnStart())
