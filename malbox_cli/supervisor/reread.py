"""Reads the manifest of a running supervisor again."""

from collections.abc import Sequence

from malbox_cli.manifest.instances import too_many
from malbox_cli.manifest.load import load_manifest
from malbox_cli.manifest.order import with_dependencies
from malbox_cli.manifest.specs import Manifest, PluginSpec
from plugin_runtime.errors import MalboxError

__all__ = ["read_again"]


def read_again(manifest: Manifest, chosen: Sequence[str]) -> tuple[tuple[PluginSpec, ...], float]:
    """Return the plugins to run from now on, and the stop_timeout.

    Args:
        manifest: What was read when the supervisor was started.
        chosen: The names of the plugins that it was started with, or of single instances; none for all of the manifest.

    Raises:
        MalboxError: The manifest has problems, or says what only a new supervisor can do.
    """
    new = load_manifest(manifest.path)
    for key in ("domain", "state_dir", "ledger", "copy_samples"):
        if getattr(new, key) != getattr(manifest, key):
            raise MalboxError(
                f"{manifest.path}: malbox.{key} has changed, which only a new supervisor can follow: "
                "`malbox down`, and then `malbox up`"
            )
    plugins = with_dependencies(new, chosen) if chosen else new.plugins
    if not plugins:
        raise MalboxError(f"{manifest.path}: none of the plugins that run is there any more; `malbox down` stops them")
    if (fault := too_many(plugins)) is not None:
        raise MalboxError(f"{manifest.path}: {fault}; lower `instances`, or remove some")
    return plugins, new.stop_timeout
