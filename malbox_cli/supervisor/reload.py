"""What a manifest that was read again changes: which plugins come, go, or are to be started anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from malbox_cli.manifest.specs import PluginSpec

__all__ = ["Difference", "difference", "most_at_once"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The ids of plugins, in the order of the manifest; those that went in the order in which they were.

    Attributes:
        added: That are new.
        removed: That are there no more.
        changed: That something is said of that was not said before.
        same: The rest.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in words: ``1 added (yara), 2 as before``."""
        parts = [
            f"{len(ids)} {what} ({', '.join(ids)})"
            for what, ids in (("added", self.added), ("removed", self.removed), ("changed", self.changed))
            if ids
        ]
        return ", ".join([*parts, f"{len(self.same)} as before"])


def difference(before: Mapping[str, PluginSpec], after: Iterable[PluginSpec]) -> Difference:
    """Return what is different between the plugins that there are, by id, and those that there are to be."""
    now = {spec.id: spec for spec in after}
    return Difference(
        added=tuple(plugin_id for plugin_id in now if plugin_id not in before),
        removed=tuple(plugin_id for plugin_id in before if plugin_id not in now),
        changed=tuple(plugin_id for plugin_id, spec in now.items() if before.get(plugin_id, spec) != spec),
        same=tuple(plugin_id for plugin_id, spec in now.items() if before.get(plugin_id) == spec),
    )


def most_at_once(before: Iterable[str], after: Iterable[PluginSpec]) -> int:
    """Return how many plugins there may be while it is done: those that come do not wait until those that go have."""
    return len({*before, *(spec.id for spec in after)})
