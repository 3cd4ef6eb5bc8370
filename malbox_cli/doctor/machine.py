"""Looks at this machine: its kernel, its interpreter, iceoryx2, shared memory and limits."""

import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from malbox_cli.doctor.checks import (
    Check,
    check_descriptors,
    check_machine,
    check_python,
    check_shared_memory,
    file_system_of,
    note,
    ok,
    problem,
)
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.cgroups import own_group
from malbox_cli.supervisor.descriptors import descriptors_for
from plugin_runtime.releases import release_of

__all__ = ["examine_machine"]

SHARED_MEMORY = Path("/dev/shm")
ROOM_IF_UNKNOWN = 2 << 20
"""Bytes for a plugin where iceoryx2 cannot be loaded, and so nobody can say."""
NEEDS = "iceoryx2=="


def examine_machine(plugins: Sequence[PluginSpec]) -> list[Check]:
    """Return what is to be said of this machine.

    Args:
        plugins: Those that there is to be room for.
    """
    name = os.uname()
    return [
        check_machine(name.sysname, name.machine, name.release),
        check_python(sys.version_info[:3]),
        _check_iceoryx2(),
        _check_shared_memory(plugins),
        _check_descriptors(len(plugins)),
        _check_processes(),
        _check_control_group(),
    ]


def _check_iceoryx2() -> Check:
    release = release_of("iceoryx2")
    try:
        from plugin_runtime.ports import iceoryx

        iceoryx.silence_log(verbose=False)
    except Exception as error:  # noqa: BLE001 - whatever a broken extension raises
        why = f"{type(error).__name__}: {error}"
        return problem("iceoryx2", f"it cannot be loaded: {why}", "install malbox again, in a fresh environment")
    with suppress(metadata.PackageNotFoundError):
        needs = [text.partition(";")[0] for text in metadata.requires("malbox") or ()]
        wanted = next((text.removeprefix(NEEDS).strip() for text in needs if text.startswith(NEEDS)), release)
        if release != wanted:
            return problem(
                "iceoryx2", f"release {release} is installed, and malbox needs {wanted}", f"pip install {NEEDS}{wanted}"
            )
    return ok("iceoryx2", f"release {release}; plugins need the same one")


def _check_shared_memory(plugins: Sequence[PluginSpec]) -> Check:
    at_once = [spec.concurrency for spec in plugins] or [1]
    try:
        from plugin_runtime.ports.iceoryx_services import room_for_plugin

        room = sum(map(room_for_plugin, at_once))
    except Exception:  # noqa: BLE001 - said before
        room = ROOM_IF_UNKNOWN * len(at_once)
    try:
        kind = file_system_of(Path("/proc/self/mounts").read_text(), str(SHARED_MEMORY))
        status = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        return problem("shared memory", f"there is no {SHARED_MEMORY}: {error.strerror}", "mount a tmpfs there")
    if not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return problem("shared memory", f"{SHARED_MEMORY} may not be written to", f"chmod 1777 {SHARED_MEMORY}")
    size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    return check_shared_memory(kind, size, free, room, len(plugins))


def _check_descriptors(plugins: int) -> Check:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return check_descriptors(None if hard == resource.RLIM_INFINITY else hard, descriptors_for(plugins), plugins)


def _check_processes() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return problem(
            "processes",
            f"the kernel gives no pidfd ({error.strerror}), without which nobody sees a process end",
            "use Linux 5.4 or newer, or a sandbox that allows pidfd_open",
        )
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return note("processes", "the kernel lists no children in /proc: what plugins leave is found by looking at all")
    return ok("processes", "the kernel tells of each process's end and children")


def _check_control_group() -> Check:
    group = own_group()
    if group is None:
        return note(
            "control group",
            "none is delegated to us: `limits` hold for each process by itself, and `procs` does not bind root",
            "run malbox as a service with Delegate=yes (docs/systemd.md), if plugins have limits",
        )
    return ok("control group", f"{group} is delegated to us: `limits` hold for whole plugins")
