"""What systemd is to a service: a socket that messages come to."""

import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class ServiceManager:
    """A datagram socket, on a path or, for None, on an abstract name."""

    def __init__(self, path: Path | None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"malbox-test-{secrets.token_hex(8)}"
        self.socket.bind(f"\0{name}" if path is None else str(path))
        self.address = f"@{name}" if path is None else str(path)
        self.told: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def environment(self, watchdog_seconds: float | None = None) -> Mapping[str, str]:
        """Return what it sets for a service."""
        variables = {"NOTIFY_SOCKET": self.address, "LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}
        if watchdog_seconds is not None:
            variables["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1e6))
        return variables

    def read(self) -> list[str]:
        """Take in what has come, and return everything that ever has: a line for each assignment."""
        while True:
            try:
                message = self.socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return self.told
            self.told += message.decode().splitlines()
