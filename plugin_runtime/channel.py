"""A task's way out of the process: one frame at a time, no faster than the supervisor takes them."""

import threading
import time
from collections.abc import Callable, Iterable

from plugin_runtime.errors import PeerGone, ResultRefused, SupervisorGone, TaskCancelled
from plugin_runtime.ports.base import IncomingRequest
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.names import RESPONSE_WINDOW, credit_wake

__all__ = ["TaskChannel"]

LOOK_SECONDS = 0.5
"""How often a wait for a credit looks whether the supervisor still waits for the task: nobody rings if it does not."""


class TaskChannel:
    """The responses of one task.

    Handlers send, on any thread; the loop's thread gives credits and says that the task is to end. A handler that waits
    for room is woken by both.

    Args:
        request: The task's way back.
        uses_credits: Whether each frame needs a credit; see `plugin_runtime.ports.base`.
        changed: What a handler that waits is woken through. It takes longer to make than the rest of a channel, and
            tasks that run one after the other can share one.

    Attributes:
        task_id: The task.
        credit_id: The event id of its credits.
    """

    def __init__(
        self, request: IncomingRequest, *, uses_credits: bool, changed: threading.Condition | None = None
    ) -> None:
        self.task_id: int = request.header.task_id
        self.credit_id = credit_wake(self.task_id)
        self._request = request
        self._uses_credits = uses_credits
        self._changed = changed or threading.Condition(threading.Lock())
        self._sending = threading.RLock()
        self._credits = RESPONSE_WINDOW
        self._cancelled = False
        self._noticed = False
        self._gone = False
        self._tell: Callable[[], None] | None = None
        self._last_frame_by: float | None = None
        self._ended = False
        self._closed = False
        self._cut_off: str | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to end."""
        return self._cancelled or self._gone

    @property
    def ended(self) -> bool:
        """Whether nothing but the frame that ends the task, if that, is still to be sent."""
        return self._ended

    @property
    def closed(self) -> bool:
        """Whether nothing at all is sent any more."""
        return self._closed

    @property
    def was_noticed(self) -> bool:
        """Whether the handler knows that the task was asked to end: what it returned after that is not the whole."""
        return self._noticed

    def notice(self) -> bool:
        """Tell the handler whether the task was asked to end."""
        self._noticed = self.cancelled
        return self._noticed

    @property
    def cut_off(self) -> str | None:
        """Why a result left only in part, if one did: the task cannot end well any more."""
        return self._cut_off

    def give(self, count: int) -> None:
        """Add the credits that the supervisor gave back; more than the window are of no use."""
        with self._changed:
            self._credits = min(self._credits + count, RESPONSE_WINDOW)
            self._changed.notify_all()

    def cancel(self, *, last_frame_by: float | None = None) -> None:
        """Ask the handler to end: what it sends from now on raises `TaskCancelled`.

        Args:
            last_frame_by: When, on the monotonic clock, to give up on the frame that ends the task. None: it waits for
                room as long as the supervisor waits for it.
        """
        with self._changed:
            tell = None if self.cancelled else self._tell
            self._cancelled = True
            self._last_frame_by = last_frame_by
            self._changed.notify_all()
        if tell is not None:
            tell()

    def lose_supervisor(self) -> None:
        """Tell the handler that nobody is there any more: what it sends from now on raises `SupervisorGone`."""
        with self._changed:
            tell = None if self.cancelled else self._tell
            self._gone = True
            self._changed.notify_all()
        if tell is not None:
            tell()

    def when_asked_to_end(self, tell: Callable[[], None] | None) -> None:
        """Have `tell` called once the task is asked to end, at once where it was; once only, on whatever thread.

        None: it is not to be called any more.
        """
        with self._changed:
            self._tell = tell
            is_late = self.cancelled
        if is_late and tell is not None:
            tell()

    def check(self) -> None:
        """Return if the task may go on.

        Raises:
            TaskCancelled: It was cancelled.
            SupervisorGone: The supervisor is not there any more.
        """
        if self._gone:
            raise SupervisorGone("the supervisor does not wait for this task any more")
        if self._cancelled:
            self._noticed = True
            raise TaskCancelled("the task was cancelled")

    def send(self, frame: Frame) -> None:
        """Send a frame that stands by itself; wait for room where there is none.

        Raises:
            TaskCancelled: The task was cancelled, before or while it waited.
            SupervisorGone: Nobody is left to read it.
            ResultRefused: An earlier result was cut off.
            SharedMemoryFull: There is no room for it on this machine.
            RuntimeError: The task has ended.
        """
        with self._sending:
            if self._ended:
                raise RuntimeError(f"task {self.task_id} has ended: nothing can be sent any more")
            if self._cancelled or self._gone:
                self.check()
            if self._cut_off is not None:
                raise ResultRefused(self._cut_off)
            self._take_credit(frame_is_last=False)
            self._pass_on(frame, frame_is_last=False)

    def send_result(self, name: str, frames: Iterable[Frame]) -> None:
        """Send the frames of one result, with nothing between them; raises what `send` does.

        Where it raises after the first of them, the task cannot end well any more.
        """
        with self._sending:
            sent_any = False
            try:
                for frame in frames:
                    self.send(frame)
                    sent_any = True
            except BaseException as error:
                if sent_any:
                    self._cut_off = f"result {name!r} was cut off: {str(error) or type(error).__name__}"
                raise

    def send_last(self, frame: Frame) -> None:
        """Send the frame that ends the task, also where it was cancelled, and let go of the request.

        Raises:
            SupervisorGone: Nobody is left to read it, or did in time.
            SharedMemoryFull: There is no room for it on this machine.
        """
        try:
            with self._sending:
                self._ended = True
                self._take_credit(frame_is_last=True)
                self._pass_on(frame, frame_is_last=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the request without a word; nothing is sent any more."""
        self._ended = True
        self._request.close()
        self._closed = True

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
                self._wait_for_change()
                self.check()

    def _take_credit(self, *, frame_is_last: bool) -> None:
        if not self._uses_credits:
            return
        with self._changed:
            while not self._credits:
                self._check_patience(frame_is_last=frame_is_last)
                self._wait_for_change()
            self._credits -= 1

    def _pass_on(self, frame: Frame, *, frame_is_last: bool) -> None:
        try:
            while not self._request.send(frame):
                self._check_patience(frame_is_last=frame_is_last)
        except PeerGone as error:
            self._gone = True
            raise SupervisorGone(str(error)) from error

    def _check_patience(self, *, frame_is_last: bool) -> None:
        if not frame_is_last or self._gone:
            self.check()
        elif self._last_frame_by is not None and time.monotonic() >= self._last_frame_by:
            raise SupervisorGone(f"the supervisor did not take the end of task {self.task_id} in time")

    def _wait_for_change(self) -> None:
        """Wait, with the lock of `_changed`, until somebody says something or it is time to look."""
        timeout = LOOK_SECONDS
        if self._last_frame_by is not None:
            timeout = min(timeout, max(0.0, self._last_frame_by - time.monotonic()))
        if not self._changed.wait(timeout) and not self._request.is_open:
            self._gone = True
