"""Control groups of version 2, where one is delegated to us: one for each plugin with limits on memory or processes.

Such limits hold for everything that a plugin starts, and for root. They need a group that we may divide up: one that
systemd has delegated (``Delegate=yes``) or that belongs to our user. The processes of a group that is divided up have
to be in its parts, so this process moves into one itself.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from malbox_cli.manifest.specs import Limits, PluginSpec
from malbox_cli.supervisor.log_hub import Say
from plugin_runtime.errors import MalboxError

__all__ = ["Cgroups", "control_groups", "kill_group", "memory_kills", "own_group", "remove"]

CONTROLLERS = {"memory": "memory.max", "pids": "pids.max"}
DELEGATED = ("trusted.delegate", "user.delegate")
NAME = "malbox-"


class Cgroups:
    """The delegated group that this process is in, divided up until `close`.

    Args:
        top: The group's folder.
        nonce: What makes the names of our parts differ from those of other runs in the same group.

    Raises:
        MalboxError: It cannot be divided up; the text says why.
    """

    def __init__(self, top: Path, nonce: int) -> None:
        self._top = top
        self._prefix = f"{NAME}{nonce:08x}-"
        self._controllers = CONTROLLERS.keys() & set(_read(top / "cgroup.controllers").split())
        self._own = top / f"{self._prefix}supervisor"
        _remove_empty(top)
        try:
            self._own.mkdir()
            _write(self._own / "cgroup.procs", "0")
            _write(top / "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(self._controllers)))
        except OSError as error:
            self.close()
            raise MalboxError(f"the control group {top} cannot be divided up: {error.strerror}") from error

    @property
    def counts_processes(self) -> bool:
        """Whether a limit on processes holds, for root too."""
        return "pids" in self._controllers

    def make(self, plugin_id: str, number: int, limits: Limits) -> Path | None:
        """Make the group of a plugin's next process and return its folder; None: nothing of its limits is for one.

        Raises:
            OSError: It cannot be made.
        """
        wanted = {"memory": limits.memory, "pids": limits.procs}
        settings = {name: limit for name, limit in wanted.items() if limit is not None and name in self._controllers}
        if not settings:
            return None
        group = self._top / f"{self._prefix}{plugin_id}-{number}"
        group.mkdir()
        try:
            for name, limit in settings.items():
                _write(group / CONTROLLERS[name], str(limit))
            if "memory" in settings:
                with suppress(OSError):
                    _write(group / "memory.swap.max", "0")  # where swapping is counted: else it only gets slow
                _write(group / "memory.oom.group", "1")
        except OSError:
            remove(group)
            raise
        return group

    def close(self) -> None:
        """Leave our part, and remove it and those of plugins; to be called when no plugin's process is left."""
        with suppress(OSError):
            _write(self._top / "cgroup.subtree_control", " ".join(f"-{name}" for name in sorted(self._controllers)))
        with suppress(OSError):  # another supervisor may divide the same group up still
            _write(self._top / "cgroup.procs", "0")
        _remove_empty(self._top, self._prefix)


@contextmanager
def control_groups(plugins: Iterable[PluginSpec], nonce: int, say: Say) -> Iterator[Cgroups | None]:
    """Divide up our control group during a block, if any plugin needs that and it can be done; yield it or None.

    To be entered before any process is started: those that are in the group already are in the way.
    """
    plugins = list(plugins)
    groups: Cgroups | None = None
    top = own_group() if any(_needs_group(spec.limits) for spec in plugins) else None
    if top is not None:
        try:
            groups = Cgroups(top, nonce)
        except MalboxError as error:
            say("warning", f"{error}; limits hold for each process by itself")
    limited = [spec.id for spec in plugins if spec.limits.procs is not None]
    if limited and not os.geteuid() and (groups is None or not groups.counts_processes):
        say(
            "warning",
            f"limits.procs of {', '.join(limited)} does not bind root, who this runs as: run malbox as another "
            "user, or in a control group that is delegated to it (systemd: Delegate=yes)",
        )
    try:
        yield groups
    finally:
        if groups is not None:
            groups.close()


def _needs_group(limits: Limits) -> bool:
    return limits.memory is not None or limits.procs is not None


def own_group() -> Path | None:
    """Return the folder of this process's group if it is delegated to us and can limit something, or None."""
    folder = folder_of(_read(Path("/proc/self/cgroup")), _read(Path("/proc/self/mountinfo")))
    if folder is None or not CONTROLLERS.keys() & set(_read(folder / "cgroup.controllers").split()):
        return None
    for attribute in DELEGATED:
        with suppress(OSError):
            if os.getxattr(folder, attribute) == b"1":
                return folder
    with suppress(OSError):
        if os.getuid() and folder.stat().st_uid == os.getuid():
            return folder
    return None


def folder_of(groups: str, mounts: str) -> Path | None:
    """Return where a process's group of version 2 is, given the texts of its ``cgroup`` and ``mountinfo``."""
    path = next((line[3:] for line in groups.splitlines() if line.startswith("0::")), None)
    if path is None or path.startswith("/.."):
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        words = fields.split(" ")
        if kind.startswith("cgroup2 ") and len(words) > 4:
            root, point = words[3], words[4]
            if root == "/" or path == root or path.startswith(f"{root}/"):
                return Path(point, path.removeprefix(root).lstrip("/"))
    return None


def kill_group(group: Path) -> None:
    """Kill everything in a group, whatever it forks meanwhile, where the kernel can (since 5.14)."""
    with suppress(OSError):
        _write(group / "cgroup.kill", "1")


def memory_kills(group: Path) -> int:
    """Return how often the kernel killed something in a group because that reached its limit on memory."""
    words = dict(line.split() for line in _read(group / "memory.events").splitlines())
    return int(words.get("oom_kill", 0))


def remove(group: Path) -> None:
    """Remove a group in which nothing is left; one in which something is stays."""
    with suppress(OSError):
        group.rmdir()


def _remove_empty(top: Path, prefix: str = NAME) -> None:
    """Remove our parts of a group, and those that dead runs left, but for those with something in them."""
    for group in _folders(top):
        if group.name.startswith(prefix):
            remove(group)


def _folders(top: Path) -> Iterable[Path]:
    try:
        return [path for path in top.iterdir() if path.is_dir()]
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
