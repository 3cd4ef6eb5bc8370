"""Does not end when it is told to: `on_stop` waits for ever, and SIGTERM is blocked."""

import signal
import threading

import plugin_runtime as malbox


class IgnoresTerm(malbox.Plugin):
    """Can only be killed."""

    def on_stop(self) -> None:
        """Wait for ever."""
        threading.Event().wait()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    malbox.run(IgnoresTerm())
