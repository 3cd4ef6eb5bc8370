"""Looks at the supervisor that a manifest has."""

from malbox_cli.control.client import ControlClient, SupervisorSilent
from malbox_cli.doctor.checks import Check, check_releases, ok, problem
from malbox_cli.manifest.specs import Manifest
from malbox_cli.supervisor.ownership import find_owner
from plugin_runtime.errors import MalboxError
from plugin_runtime.releases import release_of

__all__ = ["examine_supervisor"]

PATIENCE_SECONDS = 3.0


def examine_supervisor(manifest: Manifest) -> list[Check]:
    """Return what is to be said of the manifest's supervisor and its plugins. Blocks for a few seconds at most."""
    owner = find_owner(manifest.state_dir)
    if owner is None:
        return [ok("supervisor", f"none runs for {manifest.path}")]
    if not owner.supervises(manifest.path):
        why = f"none runs for {manifest.path}, and its state folder is in use, by that of {owner.manifest}"
        return [problem("supervisor", why, "name another folder as state_dir in the manifest")]
    try:
        with ControlClient(owner, timeout=PATIENCE_SECONDS) as client:
            status = client.status()
    except MalboxError as error:
        why = "it does not answer" if isinstance(error, SupervisorSilent) else str(error)
        fix = f"see what it does; `kill -CONT {owner.pid}` wakes one that was stopped, `kill -9 {owner.pid}` ends it"
        return [problem("supervisor", f"process {owner.pid} supervises {manifest.path}, and: {why}", fix)]
    ready = sum(plugin.state in ("READY", "IDLE") for plugin in status.plugins)
    said = [(plugin.id, plugin.iceoryx2) for plugin in status.plugins if plugin.iceoryx2]
    return [
        ok(
            "supervisor",
            f"process {owner.pid} supervises {manifest.path}: {ready} of {len(status.plugins)} plugin(s) READY",
        ),
        check_releases(release_of("iceoryx2"), said),
    ]
