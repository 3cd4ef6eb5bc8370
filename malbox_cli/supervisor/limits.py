"""What a plugin's limits become as those of its process."""

import resource
import sys
from collections.abc import Callable

from malbox_cli.manifest.specs import Limits

__all__ = ["Setting", "settings_of"]

Setting = tuple[str, int, int, int]
"""The limit's key in the manifest, its number, and what the soft and the hard one become."""

CPU_GRACE_SECONDS = 1
"""Between SIGXCPU, which says why and which a plugin may handle, and SIGKILL."""


def settings_of(limits: Limits, descriptors: tuple[int, int], hard_limit: Callable[[int], int]) -> list[Setting]:
    """Return what is to be set, in this order.

    Args:
        limits: What the manifest says.
        descriptors: The soft and hard limit on open descriptors where it says nothing of them; ours are raised.
        hard_limit: Returns the hard limit of that number that is in force.
    """
    # More descriptors than are allowed are refused: who asks for many needs them. Of all else less is as good.
    settings: list[Setting] = [("nofile", resource.RLIMIT_NOFILE, *descriptors)]
    if limits.nofile is not None:
        settings = [("nofile", resource.RLIMIT_NOFILE, limits.nofile, limits.nofile)]

    def add(key: str, number: int, limit: int | None, grace: int = 0) -> None:
        if limit is not None:
            hard = hard_limit(number)
            most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
            settings.append((key, number, min(limit, most), min(limit + grace, most)))

    add("procs", resource.RLIMIT_NPROC, limits.procs)
    add("cpu_time", resource.RLIMIT_CPU, limits.cpu_time, CPU_GRACE_SECONDS)
    # Not the address space: shared memory is mapped at sizes that nobody uses, and counts there whole.
    add("memory", resource.RLIMIT_DATA, limits.memory)
    return settings
