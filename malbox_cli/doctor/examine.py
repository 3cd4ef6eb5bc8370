"""All checks, one after the other."""

from dataclasses import dataclass
from pathlib import Path

from malbox_cli.doctor.checks import Check, Status
from malbox_cli.doctor.folders import (
    examine_default_root,
    examine_manifest,
    examine_runtime_folder,
    examine_state_folder,
)
from malbox_cli.doctor.leftovers import clean, clean_default_domain, examine_default_domain, examine_leftovers
from malbox_cli.doctor.machine import examine_machine
from malbox_cli.doctor.running import examine_supervisor

__all__ = ["Findings", "examine"]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        checks: A line each.
        removed: What was cleaned up, in words.
    """

    checks: tuple[Check, ...]
    removed: tuple[str, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing is a problem."""
        return all(check.status is not Status.PROBLEM for check in self.checks)


def examine(manifest_path: Path, *, is_named: bool, cleaning: bool) -> Findings:
    """Look at everything. Blocks for a few seconds at most.

    Args:
        manifest_path: Where the manifest is.
        is_named: Whether somebody said so; otherwise there need not be one.
        cleaning: Whether to remove first what dead runs left.
    """
    manifest, about_manifest = examine_manifest(manifest_path, is_named=is_named)
    base, about_base = examine_runtime_folder()
    root = _default_root()
    removed: list[str] = []
    if cleaning:
        removed += clean(base) if base is not None else []
        removed += clean_default_domain(root) if root is not None else []
    checks = [*examine_machine(() if manifest is None else manifest.plugins), about_base]
    if root is not None:
        wanted = manifest is not None and manifest.domain == "default"
        checks += [examine_default_root(root, is_wanted=wanted), examine_default_domain(root)]
    if base is not None:
        checks += examine_leftovers(base)
    checks.append(about_manifest)
    if manifest is not None:
        checks += [examine_state_folder(manifest.state_dir), *examine_supervisor(manifest)]
    return Findings(tuple(checks), tuple(removed))


def _default_root() -> Path | None:
    """Return the folder that iceoryx2 uses by itself; None where iceoryx2 cannot be loaded, which is said elsewhere."""
    try:
        from plugin_runtime.ports.iceoryx import silence_log
        from plugin_runtime.ports.iceoryx_cleaning import default_root
    except Exception:  # noqa: BLE001 - whatever a broken extension raises
        return None
    silence_log(verbose=False)
    return default_root()
