"""Remove what an ended process left in its domain. iceoryx2 does most of it, and is stopped by what was half made."""

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import iceoryx2 as iox

from plugin_runtime.errors import TransportError
from plugin_runtime.ports.alarm import Alarm
from plugin_runtime.ports.domain import DEFAULT_DOMAIN, Domain
from plugin_runtime.ports.iceoryx import SHARED_MEMORY_FOLDER, translated

__all__ = ["clean_up_after", "clean_up_default_domain", "default_root", "processes_of_default_domain"]

CLEANING_SECONDS = 0.5
"""How long iceoryx2 may wait for one thing; its own limit does not hold for all it waits for."""

_NUMBER = re.compile(r"(?<=_)[0-9]+(?=[_.])|^[0-9]+$")
"""A node's or a port's number in the name of a file or folder."""


def clean_up_after(pid: int, domain: Domain, config: Any) -> None:  # noqa: ANN401 - iceoryx2 has no types
    """Remove what the ended process `pid` left in a domain; `config` is the domain's as iceoryx2 takes it.

    Raises:
        TransportError: Its nodes cannot be listed, or, in iceoryx2's own domain, cannot be removed.
    """
    if not domain.is_default and not _has_left(pid, domain):
        return  # it ended in order: to see that takes a third of the time of listing the nodes of fifty plugins
    remove_half_made(Path(SHARED_MEMORY_FOLDER), config.global_cfg.prefix.to_string(), pid)
    alive: set[int] = set()
    with translated(f"clean up after process {pid}"):
        for state in iox.Node.list(iox.ServiceType.Ipc, config):
            if isinstance(state, iox.NodeState.Alive):
                alive.add(state[0].id.value)
            elif isinstance(state, iox.NodeState.Dead) and state[0].id.pid(iox.ServiceType.Ipc) == pid:
                _remove_dead_node(state[0], domain)
    # A plugin that was started meanwhile may have got the same number from the system.
    if not domain.is_default and pid not in {number >> 64 & 0xFFFFFFFF for number in alive}:
        shared = Path(SHARED_MEMORY_FOLDER).glob(f"{domain.prefix}*")
        remove_files_of(pid, chain(Path(domain.root, "nodes").glob("*"), shared))


def default_root() -> Path:
    """Return the folder that iceoryx2 uses where nobody names one."""
    return Path(iox.config.global_config().global_cfg.root_path.to_string())


def processes_of_default_domain() -> tuple[set[int], set[int]]:
    """Return the processes with living nodes in iceoryx2's own domain, and those that ended and left theirs.

    Raises:
        TransportError: That cannot be found out; a node whose process is not known is such a case.
    """
    living, dead = set[int](), set[int]()
    with translated("list the nodes of iceoryx2's own domain"):
        states = iox.Node.list(iox.ServiceType.Ipc, iox.config.global_config())
    for state in states:
        if isinstance(state, iox.NodeState.Dead):
            dead.add(state[0].id.pid(iox.ServiceType.Ipc))
        elif isinstance(state, iox.NodeState.Alive):
            living.add(state[0].id.pid(iox.ServiceType.Ipc))
        else:
            raise TransportError("a node in iceoryx2's own domain is another user's, or broken")
    return living, dead


def clean_up_default_domain(dead: Iterable[int]) -> None:
    """Remove what these ended processes left in iceoryx2's own domain.

    Raises:
        TransportError: That of one of them cannot be removed.
    """
    for pid in dead:
        clean_up_after(pid, DEFAULT_DOMAIN, iox.config.global_config())


def remove_half_made(folder: Path, prefix: str, pid: int) -> None:
    """Remove the files in shared memory that process `pid` began and never finished: others wait for ever that it does.

    iceoryx2 lets a file be read once it is whole. One of them can be of a connection to somebody else's port; whoever
    opens it next makes it anew.
    """
    for path in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            if pid in _pids_in(path.name) and not path.stat().st_mode & stat.S_IRUSR:
                path.unlink()


def remove_files_of(pid: int, files: Iterable[Path]) -> None:
    """Remove those of `files` that process `pid` made, whole folders too.

    Of a process that was killed while it made its node or a port, iceoryx2 leaves a node that it does not list, or
    lists and cannot remove, or a connection that nobody registered.
    """
    for path in files:
        if pid in _pids_in(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def _has_left(pid: int, domain: Domain) -> bool:
    """Return whether anything of process `pid` is in a domain of our own: its number is in the names."""
    names = [name for name in os.listdir(SHARED_MEMORY_FOLDER) if name.startswith(domain.prefix)]
    with suppress(FileNotFoundError):  # no node was ever made
        names += os.listdir(Path(domain.root, "nodes"))
    return any(pid in _pids_in(name) for name in names)


def _remove_dead_node(node: Any, domain: Domain) -> None:  # noqa: ANN401 - iceoryx2 has no types
    try:
        with Alarm(CLEANING_SECONDS):
            node.blocking_remove_stale_resources(iox.Duration.from_secs_f64(CLEANING_SECONDS))
    except Exception as error:
        # In a root of our own its files are removed by hand, because nobody else needs them.
        if domain.is_default:
            raise TransportError(f"cannot remove the dead node {node.id}: {error}") from error


def _pids_in(name: str) -> Iterator[int]:
    """Yield the processes that the numbers in a name belong to; each has 64 bits and above them 32 of its process."""
    return (int(match[0]) >> 64 & 0xFFFFFFFF for match in _NUMBER.finditer(name) if len(match[0]) > 19)
