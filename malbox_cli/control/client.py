"""A command's end of the control socket."""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from malbox_cli.control.answers import fields_of, news_in, plugins_in, record_in, reload_in, status_in
from malbox_cli.control.messages import (
    Canceling,
    Changing,
    Following,
    ReloadDone,
    Reloading,
    Request,
    StatusAsked,
    Stopping,
    Submitting,
    SupervisorStatus,
    Watching,
    encode,
)
from malbox_cli.control.news import News, SupervisorNews
from malbox_cli.control.problems import RequestDenied, SupervisorLost, SupervisorSilent
from malbox_cli.control.records import Ended, Record, Refused
from malbox_cli.supervisor.ownership import Owner
from malbox_cli.supervisor.strays import stat_of

__all__ = ["ANSWER_SECONDS", "LOOK_SECONDS", "ControlClient", "RequestDenied", "SupervisorLost", "SupervisorSilent"]

ANSWER_SECONDS = 10.0
"""How long an answer may take: much longer than it does, on a machine that is busy too."""
LOOK_SECONDS = 1.0
"""How long one that is late is waited for before it is looked whether the supervisor stands still."""


class ControlClient:
    """A connection to a supervisor. Its methods block.

    Args:
        owner: The supervisor.
        timeout: Seconds that the answer to a request may take, after which `SupervisorSilent` is raised, and earlier
            where the supervisor was stopped; None: as long as it takes. What comes later of a stream has no limit.

    Raises:
        SupervisorLost: It cannot be reached.
    """

    def __init__(self, owner: Owner, timeout: float | None = ANSWER_SECONDS) -> None:
        self._owner = owner
        self._timeout = timeout
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(owner.socket)
        except OSError as error:
            self._socket.close()
            raise SupervisorLost(
                f"cannot reach the supervisor (process {owner.pid}): {error.strerror or error}"
            ) from error
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._reader.close()
        self._socket.close()

    def status(self) -> SupervisorStatus:
        """Ask how the supervisor and its plugins are.

        Raises:
            SupervisorSilent: It does not answer.
            SupervisorLost: It ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(StatusAsked())
        return status_in(self._receive_answer())

    def submit(self, request: Submitting) -> Iterator[Record]:
        """Send a task and yield its records; the last is `Ended` or `Refused`.

        Raises:
            SupervisorLost: It ended before the task did.
            MalboxError: It is of another version.
        """
        self.ask(request)
        yield from self.records()

    def records(self) -> Iterator[Record]:
        """Yield the records that are still to come of the task that was submitted or is followed; the last is its end.

        Raises:
            SupervisorLost: It ended before the task did.
            MalboxError: It is of another version.
        """
        while True:
            record = self.record()
            yield record
            if isinstance(record, Ended | Refused):
                return

    def ask(self, request: Submitting) -> None:
        """Send a task, whose records `record` and `records` then return.

        Raises:
            SupervisorLost: The supervisor ended.
        """
        self._send(request)

    def record(self) -> Record:
        """Return the next record of the task that was submitted or is followed.

        Raises:
            SupervisorLost: The supervisor ended before the task did.
            MalboxError: It is of another version.
        """
        return record_in(self._receive())

    def follow(self, task: int) -> tuple[str, ...]:
        """Ask for what comes of a task from now on, which `records` then yields; return whose it is.

        Raises:
            RequestDenied: No such task is open.
            SupervisorSilent: The supervisor does not answer.
            SupervisorLost: It ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(Following(task))
        return plugins_in(self._receive_answer())

    def cancel(self, task: int) -> None:
        """Ask for the end of a task; its records go on until it has come.

        Raises:
            SupervisorLost: The supervisor ended.
        """
        self._send(Canceling(task))

    def change(self, request: Changing) -> tuple[str, ...]:
        """Ask for plugins to be started, stopped or restarted; return which, before that is done.

        Raises:
            RequestDenied: There is no such plugin, or the supervisor is stopping.
            SupervisorSilent: It does not answer.
            SupervisorLost: It ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(request)
        return plugins_in(self._receive_answer())

    def reload(self) -> ReloadDone:
        """Ask for the manifest to be read again; return what that changes, before it is done.

        Raises:
            RequestDenied: The manifest has problems, or changes what only a new supervisor can change.
            SupervisorSilent: The supervisor does not answer.
            SupervisorLost: The supervisor ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(Reloading())
        return reload_in(self._receive_answer())

    def watch(self, give_up_at: float | None = None) -> Iterator[News]:
        """Yield how everything is and then what changes, until the supervisor ends.

        Args:
            give_up_at: When to give up, by the monotonic clock, once it was said what the supervisor has; None: never.
                The connection is of no use afterwards.

        Raises:
            TimeoutError: That time has come.
            SupervisorSilent: The supervisor says nothing at all.
            SupervisorLost: The supervisor ended without having said that it stops.
            MalboxError: It is of another version.
        """
        self._send(Watching())
        to_come: int | None = None
        is_stopping = False
        while True:
            if give_up_at is not None:
                left = give_up_at - time.monotonic()
                if to_come is None or to_come > 0:  # what is so is said at once, and known however short the time is
                    left = max(left, LOOK_SECONDS)
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            try:
                news = news_in(self._receive_answer() if to_come is None else self._receive())
            except SupervisorLost:
                if is_stopping:
                    return
                raise
            to_come = len(news.plugins) if to_come is None and isinstance(news, SupervisorNews) else (to_come or 0) - 1
            is_stopping |= isinstance(news, SupervisorNews) and news.state == "stopping"
            yield news

    def stop(self, timeout: float | None) -> bool:
        """Stop the supervisor and wait for the end of its process; return whether that came within `timeout` seconds.

        One that does not listen any more is stopping already, and is waited for too.
        """
        try:
            pidfd = os.pidfd_open(self._owner.pid)
        except ProcessLookupError:
            return True
        try:
            with suppress(SupervisorLost):
                self._send(Stopping())
            return bool(select.select([pidfd], [], [], timeout)[0])
        finally:
            os.close(pidfd)

    def _send(self, request: Request) -> None:
        try:
            self._socket.sendall(encode(request).encode() + b"\n")
        except OSError as error:
            raise self._lost() from error

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._reader.readline()
        except TimeoutError:
            raise
        except OSError as error:
            raise self._lost() from error
        if not line.endswith(b"\n"):
            raise self._lost()
        return fields_of(line)

    def _receive_answer(self) -> dict[str, Any]:
        """Return what is said to a request that is answered at once, with nothing on its way before."""
        give_up_at = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            left = LOOK_SECONDS if give_up_at is None else max(give_up_at - time.monotonic(), 0.0)
            if select.select([self._socket], [], [], min(left, LOOK_SECONDS))[0]:
                return self._receive()
            if give_up_at is not None and (left <= LOOK_SECONDS or self._is_stopped()):
                raise self._silent()

    def _is_stopped(self) -> bool:
        stat = stat_of(self._owner.pid)
        return stat is not None and stat[0] in "Tt"

    def _silent(self) -> SupervisorSilent:
        pid = self._owner.pid
        why = "it is busy, or hangs: try again later, or see `malbox doctor`"
        if self._is_stopped():
            why = f"it was stopped, as by Ctrl-Z: `fg` in its shell or `kill -CONT {pid}` lets it go on"
        return SupervisorSilent(f"the supervisor (process {pid}) does not answer: {why}")

    def _lost(self) -> SupervisorLost:
        return SupervisorLost(f"the supervisor (process {self._owner.pid}) ended before it had answered")
