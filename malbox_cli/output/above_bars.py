"""A way to the terminal for those who print while bars are on it."""

import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["AboveBars"]


class AboveBars(io.TextIOBase):
    """A text stream whose lines appear above the bars; written to directly, a terminal would mix them up.

    Args:
        console: The console that the bars are on.
        turn: A lock that who draws the bars holds too.
    """

    def __init__(self, console: "Console", turn: AbstractContextManager[object]) -> None:
        self._console = console
        self._turn = turn

    def isatty(self) -> bool:
        """Return True: there are bars on a terminal only."""
        return True

    def write(self, text: str) -> int:
        """Print whole lines, colours included."""
        from rich.text import Text

        with self._turn:
            self._console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)
        return len(text)
