"""Which manifest is meant, and who supervises it."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from malbox_cli.control.problems import NoSupervisor

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["ManifestPath", "location_of", "owner_of"]

ManifestPath = str | os.PathLike[str]


def location_of(manifest: ManifestPath | None) -> "Location":
    """Return where the supervisor of a manifest is found; the manifest need not be right in all that it says.

    Args:
        manifest: Its file; None for the one that `MALBOX_MANIFEST` names, else ``plugins.toml``, as for the commands.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
    """
    from malbox_cli.manifest.load import locate

    return locate(Path(os.environ.get("MALBOX_MANIFEST") or "plugins.toml" if manifest is None else manifest))


def owner_of(manifest: "Location") -> "Owner":
    """Return the manifest's supervisor.

    Raises:
        NoSupervisor: There is none.
    """
    from malbox_cli.supervisor.ownership import find_owner

    owner = find_owner(manifest.state_dir)
    if owner is None:
        up = shlex.join(["malbox", "up", "-f", str(manifest.path)])
        raise NoSupervisor(f"no supervisor is running for {manifest.path}: start one with `{up}`")
    if not owner.supervises(manifest.path):
        refusal = owner.refusal(manifest.path, manifest.state_dir)
        raise NoSupervisor(f"no supervisor is running for {manifest.path}, and {refusal}")
    return owner
