"""Real processes, made by a real launcher, as the supervisor has them."""

import os
import resource
import secrets
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.children import Children, Ending
from malbox_cli.supervisor.guard import Guard
from malbox_cli.supervisor.launch import Launcher
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.processes import subreaper
from malbox_cli.supervisor.strays import own_children
from plugin_runtime.environment import INSTANCE, LOG

PATIENCE_SECONDS = 20.0


class NoGuard:
    """A guardian that is told and does nothing."""

    def look_after(self) -> bool:
        return False

    def spawned(self, pid: int) -> None:
        """Take note."""

    def reaped(self, pid: int) -> None:
        """Take note."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns once that is true."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"still not: {what}"
        time.sleep(0.002)
    return value


def spec_of(*argv: str, id: str = "p", **more: Any) -> PluginSpec:  # noqa: A002 - as in PluginSpec
    return PluginSpec(id=id, name=id, argv=argv, **{"cwd": Path("/"), **more})


def python(code: str, *arguments: str, **more: Any) -> PluginSpec:
    """Return what runs some Python."""
    return spec_of(sys.executable, "-I", "-S", "-c", code, *arguments, **more)


class Rig:
    """Children, what they printed and what was said of them."""

    def __init__(self) -> None:
        self.before = set(own_children())
        self.nonce = 1 + secrets.randbelow(2**32 - 1)
        self.poller = Poller()
        self.printed = b""
        self.said: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.launcher = Launcher(self.nonce)
        self.children = Children(
            self.poller,
            cast(Guard, NoGuard()),
            self.launcher,
            self.nonce,
            lambda _, instance: {INSTANCE: instance, LOG: "key"},
            OutputPump(self.poller, self._take),
            resource.getrlimit(resource.RLIMIT_NOFILE),
            lambda level, text, _=None: self.said.append((level, text)),
        )
        self.children.on_end = self.ended.append
        self.gone: list[str] = []
        self.mark = b""
        self.children.on_gone = self.gone.append

    def _take(self, plugin_id: str, data: bytes, mark: bytes) -> None:
        del plugin_id
        self.mark = mark
        self.printed += data

    @property
    def lines(self) -> list[str]:
        """The lines that were printed."""
        return self.printed.decode().splitlines()

    def wait_for_line(self, text: str) -> None:
        """Run the poller until a line was printed."""
        self.turn_until(lambda: any(text in line for line in self.lines), f"prints {text!r}: {self.lines}")

    def turn_until(self, condition: Callable[[], Any], what: str) -> None:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up_at, f"still not: {what}"
            select.select([self.poller.fd], [], [], 0.01)
            self.poller.dispatch()

    def end_of(self, plugin_id: str = "p") -> Ending:
        """Wait for the end of a process, and reap it."""
        self.turn_until(lambda: plugin_id in self.ended, f"{plugin_id} has ended")
        self.ended.clear()
        return self.children.reap(plugin_id)

    def run(self, spec: PluginSpec) -> Ending:
        """Run a process to its end."""
        self.children.spawn(spec)
        return self.end_of(spec.id)

    def strangers(self) -> list[int]:
        """Return our children that are neither the launcher nor a plugin's process, nor were there before."""
        known = {
            *self.before,
            self.launcher.pid,
            *(child.pid for child in map(self.children.get, "pq") if child is not None),
        }
        return [pid for pid in own_children() if pid not in known]


@contextmanager
def open_rig() -> Iterator[Rig]:
    """Have a rig during a block; nothing that it started is left afterwards."""
    with subreaper():
        rig = Rig()
        try:
            yield rig
        finally:
            rig.children.kill_all()
            rig.launcher.close()
            rig.poller.close()


def is_gone(pid: int) -> bool:
    """Return whether there is no such process, not even a zombie."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True
