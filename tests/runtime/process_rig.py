"""A plugin's process on the real ports, and the supervisor's side of it in the test's own thread."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DEADLINE, ID, SupervisorEnd, Task

from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.names import RESPONSE_WINDOW

TOP = Path(__file__).parents[2]
PLUGIN = Path(__file__).with_name("plugins") / "scripted.py"
MISBEHAVING = TOP / "tests" / "e2e" / "plugins"
RULES = {"rules": "strict"}
MANY = 8


@dataclass(slots=True)
class PluginProcess:
    """A plugin's process."""

    popen: subprocess.Popen[bytes]
    folder: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> list[str]:
        """What was called."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return (self.folder / "stderr").read_text()

    def ended(self, within: float = DEADLINE) -> int:
        return self.popen.wait(within)


class Place(SupervisorEnd):
    """A supervisor's end, a domain and a folder for one test."""

    def __init__(self, ports: IceoryxSupervisorPorts, domain: Domain, folder: Path) -> None:
        super().__init__(ports)
        self.domain = domain
        self.folder = folder

    def environment(
        self,
        *,
        foreign: bool = False,
        supervisor_pid: int | None = None,
        config: Mapping[str, str] = RULES,
        **more: Any,
    ) -> dict[str, str]:
        """Return what a plugin's process is told; `more` is of `PluginEnvironment`."""
        if foreign:
            return {"MALBOX_PLUGIN_ID": ID}
        return PluginEnvironment(
            plugin_id=ID,
            supervisor_pid=supervisor_pid or os.getpid(),
            instance="nonce",
            domain=self.domain,
            config=config,
            **more,
        ).variables()

    @contextmanager
    def plugin(
        self, variables: Mapping[str, str] | None = None, *arguments: str, program: tuple[str, ...] = (str(PLUGIN),)
    ) -> Iterator[PluginProcess]:
        """A plugin's process, in a folder whose iceoryx2 configuration is that of our domain."""
        folder = self.folder / f"plugin{len(list(self.folder.iterdir()))}"
        (folder / "config").mkdir(parents=True)
        (folder / "config" / "iceoryx2.toml").write_text(
            f'[global]\nroot-path = "{self.domain.root}"\nprefix = "{self.domain.prefix}"\n'
        )
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "LOG": str(folder / "log")}
        environ |= self.environment() if variables is None else variables
        with (folder / "stderr").open("wb") as errors:
            popen = subprocess.Popen([sys.executable, *program, *arguments], cwd=folder, env=environ, stderr=errors)
        with popen:
            try:
                yield PluginProcess(popen, folder)
            finally:
                popen.kill()
                popen.wait()
                self.ports.clean_up_after(popen.pid)

    def blocked(self, process: PluginProcess) -> Task:
        """Bring a plugin to where it waits for room."""
        task = self.send(1, do="push_for_ever")
        taken = 0
        while taken < 2 * RESPONSE_WINDOW:  # it was on its way, and was not just begun
            taken += task.receive()
            self.until(lambda: True)
            assert process.popen.poll() is None
        self.until(lambda: self.is_idle(process))
        return task

    def is_idle(self, process: PluginProcess) -> bool:
        """Whether the process used no processor time for a moment; what waits for room uses hardly any."""

        def ticks() -> int:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        self.ports.wait(0.1)
        self.ports.take_wakes()
        return ticks() - before <= 2
