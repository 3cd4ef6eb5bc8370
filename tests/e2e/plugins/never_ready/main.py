"""Never gets ready."""

import sys
import threading

import plugin_runtime as malbox


class NeverReady(malbox.Plugin):
    """Waits in `on_start` for something that does not come."""

    def on_start(self, config: dict[str, str]) -> None:
        """Wait for ever."""
        sys.stdout.write(f"looking for {config.get('server', 'a licence server')}\n")
        threading.Event().wait()


if __name__ == "__main__":
    malbox.run(NeverReady())
