"""The supervisor's end of the control socket. It never blocks: a client that does not read is cut off."""

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from malbox_cli.control.messages import MAX_LINE_BYTES, Misunderstood, Request, decode_request, encode
from plugin_runtime.errors import MalboxError

__all__ = ["MAX_CLIENTS", "ControlServer"]

MAX_CLIENTS = 256
"""How many may be connected: descriptors have to be left for what the plugins need."""
MAX_UNSENT_BYTES = 32 << 20
CLOSE_SECONDS = 1.0
READ_BYTES = 64 * 1024
CREDENTIALS = struct.Struct("3i")


class Poll(Protocol):
    """What the server needs of the reactor's poller."""

    def add(self, fd: int, readable: Callable[[], None]) -> None:
        """Call back while `fd` can be read."""

    def want_write(self, fd: int, writable: Callable[[], None] | None) -> None:
        """Call back while `fd` can be written to, or not any more."""

    def remove(self, fd: int) -> None:
        """Forget `fd`."""


@dataclass(slots=True)
class Client:
    """One connection."""

    id: int
    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)


class ControlServer:
    """Listens on a Unix socket, in a folder that is ours alone, for processes of our user and of root.

    Args:
        path: Where to bind, 0600.
        poller: Who calls back.
        on_request: Called with a client's number and its request.
        on_left: Called with a client's number when it is gone.
        log: Called with what an operator should know.

    Raises:
        MalboxError: The socket cannot be bound.
    """

    def __init__(
        self,
        path: Path,
        poller: Poll,
        on_request: Callable[[int, Request], None],
        on_left: Callable[[int], None],
        log: Callable[[str], None],
    ) -> None:
        self._path = path
        self._poller = poller
        self._on_request = on_request
        self._on_left = on_left
        self._log = log
        self._clients: dict[int, Client] = {}
        self._last_id = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        previous = os.umask(0o177)
        try:
            self._listener.bind(os.fspath(path))
            self._listener.listen(64)
        except OSError as error:
            self._listener.close()
            raise MalboxError(f"cannot bind the control socket {path}: {error.strerror or error}") from error
        finally:
            os.umask(previous)
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        poller.add(self._listener.fileno(), self._accept)

    def send(self, client_id: int, line: str) -> None:
        """Send a line to a client; one that is gone is no error."""
        client = self._clients.get(client_id)
        if client is None:
            return
        client.unsent += line.encode("utf-8", "backslashreplace") + b"\n"
        self._flush(client)

    def close(self) -> None:
        """Take no more clients and let go of those there are; what is unsent has a second to be read, all in all."""
        self._poller.remove(self._listener.fileno())
        self._listener.close()
        if self._spare is not None:
            os.close(self._spare)
        give_up_at = time.monotonic() + CLOSE_SECONDS
        for client in list(self._clients.values()):
            client.socket.settimeout(max(0.0, give_up_at - time.monotonic()))
            with suppress(OSError):
                client.socket.sendall(client.unsent)
            self._drop(client)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log(f"cannot take a command's connection: {error.strerror}")
                self._turn_away()
                return
            _, uid, _ = CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            )
            if uid not in (os.getuid(), 0):
                self._log(f"refused a command of user {uid}")
                connection.close()
                continue
            if len(self._clients) >= MAX_CLIENTS:
                self._log(f"turned a command away: {MAX_CLIENTS} are connected already")
                connection.close()
                continue
            connection.setblocking(False)
            self._last_id += 1
            client = self._clients[self._last_id] = Client(self._last_id, connection)
            self._poller.add(connection.fileno(), lambda client=client: self._read(client))  # type: ignore[misc] # mypy has no types for a default of a lambda

    def _turn_away(self) -> None:
        """Close a connection for which there is no descriptor left; waiting, it would wake us for ever."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with suppress(OSError):
            self._listener.accept()[0].close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave(client)
            return
        client.received += data
        while (end := client.received.find(b"\n")) >= 0 and client.id in self._clients:
            line = bytes(client.received[:end])
            del client.received[: end + 1]
            try:
                request = decode_request(line)
            except ValueError as error:
                self.send(client.id, encode(Misunderstood(str(error))))
            else:
                self._on_request(client.id, request)
        if len(client.received) > MAX_LINE_BYTES and client.id in self._clients:
            self._log("cut off a command that sent a line without an end")
            self._leave(client)

    def _flush(self, client: Client) -> None:
        try:
            while client.unsent:
                sent = client.socket.send(client.unsent)
                del client.unsent[:sent]
        except BlockingIOError:
            if len(client.unsent) > MAX_UNSENT_BYTES:
                self._log(f"cut off a command that did not read {len(client.unsent)} bytes of its answers")
                self._leave(client)
                return
        except OSError:
            self._leave(client)
            return
        self._poller.want_write(client.socket.fileno(), (lambda: self._flush(client)) if client.unsent else None)

    def _leave(self, client: Client) -> None:
        if client.id in self._clients:
            self._drop(client)
            self._on_left(client.id)

    def _drop(self, client: Client) -> None:
        del self._clients[client.id]
        self._poller.remove(client.socket.fileno())
        client.socket.close()
