"""A control server and what it was told."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from malbox_cli.control.messages import (
    Request,
)
from malbox_cli.control.server import ControlServer
from malbox_cli.supervisor.poller import Poller


def ignore(*_: object) -> None:
    pass


class Supervisor:
    """A server, and what it was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.poller = Poller()
        self.requests: list[tuple[int, Request]] = []
        self.left: list[int] = []
        self.log: list[str] = []
        self.answer: Callable[[int, Request], None] = ignore
        self.server = ControlServer(path, self.poller, self.take, self.left.append, self.log.append)

    def take(self, client: int, request: Request) -> None:
        self.requests.append((client, request))
        self.answer(client, request)

    def run_until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        give_up_at = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < give_up_at, f"still not: {what}"
            self.poller.dispatch()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(str(self.path))
        return client

    def close(self) -> None:
        self.server.close()
        self.poller.close()


def in_background(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run)
    thread.start()
    return thread
