"""Whether the handler call that a context was made for is still running."""

__all__ = ["Validity"]


class Validity:
    """Ends with the handler's call; whoever uses the context after that is told so."""

    __slots__ = ("_handler", "_over")

    def __init__(self, handler: str) -> None:
        self._handler = handler
        self._over = False

    def end(self) -> None:
        """Say that the handler returned."""
        self._over = True

    def check(self) -> None:
        """Return while the handler runs.

        Raises:
            RuntimeError: It returned.
        """
        if self._over:
            raise RuntimeError(f"the context is valid only during {self._handler}, which has returned")
