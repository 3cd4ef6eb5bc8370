"""A task's way out of the process: one frame at a time, no faster than the supervisor takes them."""

import threading

from plugin_runtime.errors import PeerGone, ResultRefused, SupervisorGone, TaskCancelled
from plugin_runtime.ports.base import IncomingRequest
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.names import RESPONSE_WINDOW

__all__ = ["TaskChannel"]


class TaskChannel:
    """The responses of one task.

    The handler's thread sends; the loop's thread gives credits and says that the task is to end. A handler that waits
    for a credit is woken by both.

    Args:
        request: The task's way back.
        uses_credits: Whether each frame needs a credit; see `plugin_runtime.ports.base`.
    """

    def __init__(self, request: IncomingRequest, *, uses_credits: bool) -> None:
        self.task_id: int = request.header.task_id
        self._request = request
        self._uses_credits = uses_credits
        self._changed = threading.Condition()
        self._credits = RESPONSE_WINDOW
        self._cancelled = False
        self._gone = False
        self._cut_off: str | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to end."""
        return self._cancelled or self._gone

    @property
    def cut_off(self) -> str | None:
        """Why a result left only in part, if one did: the task cannot end well any more."""
        return self._cut_off

    def cut(self, name: str, error: BaseException) -> None:
        """Say that a result was left in the middle: nothing but the end of the task may follow it."""
        self._cut_off = f"result {name!r} was cut off: {error}"

    def give(self, credits: int) -> None:
        """Add the credits that the supervisor gave back; more than the window are of no use."""
        with self._changed:
            self._credits = min(self._credits + credits, RESPONSE_WINDOW)
            self._changed.notify_all()

    def cancel(self) -> None:
        """Ask the handler to end: what it sends from now on raises `TaskCancelled`."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def lose_supervisor(self) -> None:
        """Tell the handler that nobody is there any more: what it sends from now on raises `SupervisorGone`."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def check(self) -> None:
        """Return if the task may go on.

        Raises:
            TaskCancelled: It was cancelled.
            SupervisorGone: The supervisor is not there any more.
        """
        if self._gone:
            raise SupervisorGone("the supervisor is gone")
        if self._cancelled:
            raise TaskCancelled("the task was cancelled")

    def send(self, frame: Frame) -> None:
        """Send a frame; wait for a credit where there is none.

        Raises:
            TaskCancelled: The task was cancelled, before or while it waited.
            SupervisorGone: Nobody is left to read it.
            ResultRefused: An earlier result was cut off.
            SharedMemoryFull: There is no room for it on this machine.
        """
        self.check()
        if self._cut_off is not None:
            raise ResultRefused(self._cut_off)
        if self._uses_credits:
            with self._changed:
                while not self._credits:
                    self._changed.wait()
                    self.check()
                self._credits -= 1
        self._pass_on(frame)

    def send_last(self, frame: Frame) -> None:
        """Send the frame that ends the task, also where it was cancelled, and let go of the request.

        Raises:
            SupervisorGone: Nobody is left to read it.
            SharedMemoryFull: There is no room for it on this machine.
        """
        try:
            if self._uses_credits:
                with self._changed:
                    while not self._credits and not self._gone:
                        self._changed.wait()
            if self._gone:
                raise SupervisorGone("the supervisor is gone")
            self._pass_on(frame)
        finally:
            self._request.close()

    def wait_until_taken(self) -> None:
        """Wait until the supervisor is done with everything that was sent. Does nothing without credits.

        Raises:
            TaskCancelled: The task was cancelled while it waited.
            SupervisorGone: Nobody is left to take it.
        """
        if not self._uses_credits:
            return
        with self._changed:
            while self._credits < RESPONSE_WINDOW:
                self._changed.wait()
                self.check()

    def _pass_on(self, frame: Frame) -> None:
        try:
            self._request.send(frame)
        except PeerGone as error:
            self._gone = True
            raise SupervisorGone(str(error)) from error
