"""A way to the terminal for those who print while bars are on it."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["AboveBars"]


class AboveBars(io.TextIOBase):
    """A text stream whose lines appear above the bars; written to directly, a terminal would mix them up.

    Args:
        console: The console that the bars are on.
    """

    def __init__(self, console: "Console") -> None:
        self._console = console

    def isatty(self) -> bool:
        """Return True: there are bars on a terminal only."""
        return True

    def write(self, text: str) -> int:
        """Print whole lines, colours included."""
        from rich.text import Text

        self._console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)
        return len(text)
