"""A command's end of the control socket."""

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from malbox_cli.control.messages import (
    Canceling,
    Changing,
    ReloadDone,
    Reloading,
    Request,
    StatusAsked,
    Stopping,
    Submitting,
    SupervisorStatus,
    Watching,
    decode_status,
    encode,
)
from malbox_cli.control.news import News, SupervisorNews, news_of
from malbox_cli.control.records import Ended, Record, Refused, record_of
from malbox_cli.supervisor.ownership import Owner
from plugin_runtime.errors import MalboxError

__all__ = ["ControlClient", "RequestDenied", "SupervisorLost"]


class RequestDenied(MalboxError):
    """The supervisor does not do what was asked for; the text says why."""


class SupervisorLost(MalboxError):
    """The supervisor closed the connection before it had answered."""


class ControlClient:
    """A connection to a supervisor. Its methods block.

    Args:
        owner: The supervisor.
        timeout: Seconds after which a method raises TimeoutError; None: it waits as long as it takes.

    Raises:
        SupervisorLost: It cannot be reached.
    """

    def __init__(self, owner: Owner, timeout: float | None = None) -> None:
        self._owner = owner
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
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
        self._reader.close()
        self._socket.close()

    def status(self) -> SupervisorStatus:
        """Ask how the supervisor and its plugins are.

        Raises:
            SupervisorLost: It ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(StatusAsked())
        fields = self._receive()
        try:
            return decode_status(fields)
        except ValueError as error:
            raise _other_version(error) from error

    def submit(self, request: Submitting) -> Iterator[Record]:
        """Send a task and yield its records; the last is `Ended` or `Refused`.

        Raises:
            SupervisorLost: It ended before the task did.
            MalboxError: It is of another version.
        """
        self._send(request)
        yield from self.records()

    def records(self) -> Iterator[Record]:
        """Yield the records that are still to come of the task that was submitted; the last is its end.

        Raises:
            SupervisorLost: It ended before the task did.
            MalboxError: It is of another version.
        """
        while True:
            fields = self._receive()
            try:
                record = record_of(fields)
            except ValueError as error:
                raise _other_version(error) from error
            yield record
            if isinstance(record, Ended | Refused):
                return

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
            SupervisorLost: It ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(request)
        return tuple(map(str, self._receive_list("plugins")))

    def reload(self) -> ReloadDone:
        """Ask for the manifest to be read again; return what that changes, before it is done.

        Raises:
            RequestDenied: The manifest has problems, or changes what only a new supervisor can change.
            SupervisorLost: The supervisor ended before it answered.
            MalboxError: It is of another version.
        """
        self._send(Reloading())
        fields: dict[str, Any] = self._receive()
        try:
            return ReloadDone(**{key: tuple(fields[key]) for key in ("added", "removed", "changed", "same")})
        except (KeyError, TypeError) as error:
            raise _other_version(error) from error

    def watch(self, give_up_at: float | None = None) -> Iterator[News]:
        """Yield how everything is and then what changes, until the supervisor ends.

        Args:
            give_up_at: When to give up, by the monotonic clock; None: never. The connection is of no use afterwards.

        Raises:
            TimeoutError: That time has come.
            SupervisorLost: The supervisor ended without having said that it stops.
            MalboxError: It is of another version.
        """
        self._send(Watching())
        is_stopping = False
        while True:
            if give_up_at is not None:
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            try:
                news = news_of(self._receive())
            except SupervisorLost:
                if is_stopping:
                    return
                raise
            except ValueError as error:
                raise _other_version(error) from error
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

    def _receive(self) -> dict[str, object]:
        try:
            line = self._reader.readline()
        except TimeoutError:
            raise
        except OSError as error:
            raise self._lost() from error
        if not line.endswith(b"\n"):
            raise self._lost()
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise _other_version(error) from error
        if not isinstance(fields, dict) or fields.get("type") == "misunderstood":
            raise _other_version(fields.get("error") if isinstance(fields, dict) else "its answer is no object")
        if fields.get("type") == "denied":
            raise RequestDenied(str(fields.get("error")))
        return fields

    def _receive_list(self, key: str) -> list[object]:
        value = self._receive().get(key)
        if not isinstance(value, list):
            raise _other_version(f"its answer has no {key}")
        return value

    def _lost(self) -> SupervisorLost:
        return SupervisorLost(f"the supervisor (process {self._owner.pid}) ended before it had answered")


def _other_version(why: object) -> MalboxError:
    return MalboxError(f"the supervisor is of another version of malbox ({why}); restart it")
