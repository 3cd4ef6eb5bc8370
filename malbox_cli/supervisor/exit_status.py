"""How a process ended."""

import signal
from dataclasses import dataclass

__all__ = ["ExitStatus"]


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """An exit code, or the signal that ended the process; one of the two is None."""

    code: int | None
    signal: int | None

    @staticmethod
    def of_return_code(number: int) -> "ExitStatus":
        """Return the status for a return code as Python has it, where -n is signal n."""
        return ExitStatus(None, -number) if number < 0 else ExitStatus(number, None)

    @property
    def is_success(self) -> bool:
        """Whether the process exited with 0."""
        return self.code == 0

    def __str__(self) -> str:
        """Return it in words, to follow a name: ``exited with code 3``, ``was killed by SIGKILL (signal 9)``."""
        if self.signal is None:
            return f"exited with code {self.code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            return f"was killed by signal {self.signal}"
        return f"was killed by {name} (signal {self.signal})"
