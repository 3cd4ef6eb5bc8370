"""Runs `malbox` as its users do: as processes, in a place of their own, and looks at what they leave."""

import ctypes
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import tomli_w

from malbox_cli.control.client import ControlClient
from malbox_cli.supervisor.ownership import find_owner
from malbox_cli.supervisor.run_folder import prefix_of_runs

PLUGINS = Path(__file__).with_name("plugins")
REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")
MARK = "E2E_MARK"
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 15.0
"""Seconds after which something that should happen does not happen any more."""

MALBOX = (sys.executable, "-m", "malbox_cli.cli")


def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return what `condition` returns once that is true; fail if it does not become so."""
    give_up_at = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"after {patience:g} s still not: {what}")
        time.sleep(0.005)
    return value


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    argv: Sequence[str]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def records(self) -> list[dict[str, Any]]:
        """What it printed, as JSON, a line each."""
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The records of one type."""
        return [record for record in self.records if record["type"] == kind]

    @property
    def end(self) -> dict[str, Any]:
        """The record that ends the one task of the stream."""
        ends = [record for record in self.records if record["type"] in ("completed", "failed", "canceled", "timeout")]
        assert len(ends) == 1, self
        assert self.records[-1] == ends[0], self
        return ends[0]


@dataclass
class Running:
    """A command that runs."""

    popen: subprocess.Popen[bytes]
    out_file: Path
    err_file: Path
    started_at: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self.out_file.read_text(errors="backslashreplace")

    @property
    def err(self) -> str:
        return self.err_file.read_text(errors="backslashreplace")

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> Done:
        """Wait for its end; fail if that does not come."""
        try:
            code = self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {patience} s\n{self.out[-2000:]}\n{self.err[-2000:]}") from None
        done = Done(self.popen.args, code, self.out, self.err, time.monotonic() - self.started_at)
        assert "malbox_cli" not in done.err, done.err  # a plugin's traceback may be there, never one of malbox's
        return done

    def wait_for(self, text: str, patience: float = PATIENCE) -> None:
        """Wait until it has printed a text to either stream."""

        def printed() -> bool:
            if text in self.out or text in self.err:
                return True
            assert self.popen.poll() is None, f"ended with {self.popen.returncode}: {self.out}{self.err}"
            return False

        eventually(printed, f"prints {text!r}", patience)


class Place:
    """Where a test's processes run; everything that they start carries a mark."""

    argv = MALBOX

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = Path(tempfile.mkdtemp(prefix="mbe", dir="/tmp"))
        self.mark = secrets.token_hex(8)
        self.started: list[Running] = []
        self.orphans_are_fine = False
        self.children_before = {child.pid for child in psutil.Process().children()}
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MALBOX_")},
            "MALBOX_RUNTIME_DIR": str(self.runtime),
            MARK: self.mark,
            "TERM": "xterm",
        }
        for name in ("NO_COLOR", "COLUMNS", "LINES"):  # how whoever runs the tests looks at things
            self.environment.pop(name, None)

    def write_manifest(self, text: str, name: str = "plugins.toml") -> Path:
        """Write a manifest as it is given."""
        path = self.folder / name
        path.write_text(text)
        return path

    def manifest(self, *names: str, stop_timeout: str = "4s", **more: Mapping[str, Any]) -> Path:
        """Write a manifest of plugins of `plugins/`; `more` has keys of a plugin's table."""
        tables = {}
        for name in (*names, *more):
            table = dict(more.get(name, {}))
            if "command" not in table:
                table.setdefault("path", str(PLUGINS / name))
            tables[name] = table
        document = {"malbox": {"stop_timeout": stop_timeout}, "plugins": tables}
        return self.write_manifest(tomli_w.dumps(document))

    def sample(self, data: bytes = b"a sample", name: str = "sample") -> Path:
        """Write a sample."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def start(
        self, *arguments: object, env: Mapping[str, str] | None = None, argv: Sequence[str] = MALBOX, **more: Any
    ) -> Running:
        """Start a command."""
        number = len(self.started)
        out, err = self.folder / f"out-{number}", self.folder / f"err-{number}"
        with out.open("wb") as out_stream, err.open("wb") as err_stream:
            popen = subprocess.Popen(
                [*argv, *map(str, arguments)],
                cwd=self.folder,
                env={**self.environment, **(env or {})},
                **{"stdin": subprocess.DEVNULL, "stdout": out_stream, "stderr": err_stream, **more},
            )
        running = Running(popen, out, err)
        self.started.append(running)
        return running

    def malbox(self, *arguments: object, patience: float = PATIENCE, **more: Any) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, **more).wait(patience)

    def run(self, manifest: Path, *arguments: object, **more: Any) -> Done:
        """Run `malbox run --json` to its end."""
        return self.malbox("run", "-f", manifest, "--json", *arguments, **more)

    def send(self, manifest: Path, *arguments: object, **more: Any) -> Done:
        """Run `malbox send-task --json` to its end."""
        return self.malbox("send-task", "-f", manifest, "--json", *arguments, **more)

    def status(self, manifest: Path) -> dict[str, Any]:
        """Return what `malbox status --json` says."""
        done = self.malbox("status", "-f", manifest, "--json")
        assert done.code in (0, 3), done
        status: dict[str, Any] = json.loads(done.out)
        return status

    def plugin_status(self, manifest: Path, plugin: str) -> dict[str, Any]:
        """Return what the supervisor says of one plugin, without the command in between, which takes its time."""
        owner = find_owner(manifest.parent / ".malbox")
        assert owner is not None, "no supervisor is running"
        with ControlClient(owner) as client:
            return next(asdict(row) for row in client.status().plugins if row.id == plugin)

    def start_up(self, manifest: Path, *arguments: object, ready: Sequence[str] | None = None, **more: Any) -> Running:
        """Start `malbox up`, and wait until the plugins named are READY, by default all."""
        running = self.start("up", "-f", manifest, *arguments, **more)
        names = tomllib.loads(manifest.read_text())["plugins"] if ready is None else ready
        for name in names:
            running.wait_for(f"{name}: READY")
        return running

    @contextmanager
    def up(self, manifest: Path, *arguments: object, code: int = 0, **more: Any) -> Iterator[Running]:
        """Have `malbox up` run during a block, and stop it with `malbox down`; it ends with `code`."""
        running = self.start_up(manifest, *arguments, **more)
        yield running
        down = self.malbox("down", "-f", manifest)
        assert down.code == 0, down
        assert running.wait(20).code == code, running.err

    def processes(self) -> list[psutil.Process]:
        """Return the living processes of this place, wherever they are."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def children_of(self, pid: int) -> list[int]:
        """Return the pids of a process's children."""
        return [child.pid for child in psutil.Process(pid).children()]

    def files(self) -> list[str]:
        """Return the files and folders of the runs that go on, or did not clean up."""
        found = []
        for folder, folders, files in os.walk(self.runtime):  # where one goes meanwhile, it is passed over
            found += [os.path.join(folder, name) for name in (*folders, *files)]
        return found

    def leftovers(self) -> list[str]:
        """Return what is left of everything that was started here."""
        left = []
        for process in self.processes():
            with suppress(psutil.Error):  # it has ended since
                left.append(f"process {process.pid}: {' '.join(process.cmdline())}")
        left += [f"file {path}" for path in self.files()]
        return left + [f"shared memory {name}" for name in sorted(self._shared_memory())]

    def assert_nothing_left(self, patience: float = 10.0) -> None:
        """Fail unless nothing is left, or nothing is after a while."""
        still = [running.popen.args for running in self.started if running.popen.poll() is None]
        assert not still, f"still runs: {still}"
        give_up_at = time.monotonic() + patience
        while (left := self.leftovers()) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert not left, left
        orphans = reap_orphans()
        assert self.orphans_are_fine or not orphans, f"malbox ended before its children: {orphans}"

    def close(self) -> None:
        """End what still runs, whatever the test did."""
        for running in self.started:
            if running.popen.poll() is None:
                running.popen.kill()
                running.popen.wait()
        while left := self.processes():
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
        # A process that is about to end shows no environment any more, and is no zombie yet.
        eventually(self._reap_all, "every orphan has ended")
        for name in self._shared_memory():
            (SHARED_MEMORY / name).unlink(missing_ok=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def _reap_all(self) -> bool:
        """Reap the orphans that have ended; return whether none is left that came to us since the test began."""
        reap_orphans()
        return {child.pid for child in psutil.Process().children()} <= self.children_before

    def _shared_memory(self) -> set[str]:
        """Return the names of the files in shared memory of this place's runs, and of nobody else's."""
        prefix = prefix_of_runs(self.runtime)
        return {path.name for path in SHARED_MEMORY.iterdir() if path.name.startswith(prefix)}


def peak_memory(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


def is_stopped(pid: int) -> bool:
    """Return whether a process stands still, as after SIGSTOP."""
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def reap_orphans() -> list[int]:
    """Reap the ended processes that came to us because their parent ended first; return their pids."""
    reaped = []
    for child in psutil.Process().children():
        with suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
                reaped.append(child.pid)
    return reaped


@contextmanager
def subreaper() -> Iterator[None]:
    """Have orphans come to this process during a block, so that none is overlooked."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def zombies_of(pid: int) -> list[int]:
    """Return the children of a process that ended and were not reaped."""
    return [child.pid for child in psutil.Process(pid).children() if child.status() == psutil.STATUS_ZOMBIE]
