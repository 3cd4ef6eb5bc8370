"""Which release of a distribution this interpreter has, and whether it is the one that the supervisor has."""

import os
import sys
from contextlib import suppress

from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import VersionMismatch

__all__ = ["release_of", "require_release"]


def release_of(distribution: str) -> str:
    """Return a distribution's release, such as ``0.10.0``; empty where it is not installed as one.

    The folder that every installer leaves has it in its name. Looking there takes a hundredth of the time of loading
    `importlib.metadata`, which every plugin would spend at its start.
    """
    beginning, end = f"{distribution}-", ".dist-info"
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):
                if name.startswith(beginning) and name.endswith(end):
                    return name.removeprefix(beginning).removesuffix(end)
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def require_release(environment: PluginEnvironment, release: str) -> None:
    """Check that our release of iceoryx2 is the supervisor's, where both are known, before anything is opened.

    Raises:
        VersionMismatch: It is another one, and would refuse the supervisor's services or spoil them.
    """
    theirs = environment.iceoryx2
    if theirs and release and theirs != release:
        raise VersionMismatch(
            f"the supervisor uses iceoryx2 {theirs} and this plugin {release}, and both need the same release: "
            f"install iceoryx2=={theirs} where this plugin runs"
        )
