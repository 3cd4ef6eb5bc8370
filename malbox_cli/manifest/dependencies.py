"""Whether the plugins of a manifest can wait for each other as their `after` says."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.order import cycles_in
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.table import shown

__all__ = ["check_dependencies"]

_MOST_CYCLES = 20  # of a manifest that has more, nobody reads the rest before mending these


def check_dependencies(after: Mapping[str, Sequence[str]], known: Collection[str], findings: Findings) -> None:
    """Add an error for every name that is unknown, the plugin's own or there twice, and for every circle.

    Args:
        after: What each plugin says that it comes after, in the order of the file.
        known: The ids that the manifest has.
        findings: Where to add them.
    """
    sound: dict[str, dict[str, int]] = {}  # each plugin's sound names, with their places
    for plugin_id, names in after.items():
        sound[plugin_id] = {}
        for index, name in enumerate(names):
            fault = _fault(plugin_id, name, sound[plugin_id], known)
            if fault is None:
                sound[plugin_id][name] = index
            else:
                findings.error(("plugins", plugin_id, "after", index), fault)
    for cycle in islice(cycles_in({plugin_id: list(names) for plugin_id, names in sound.items()}), _MOST_CYCLES):
        first, second = cycle[0], cycle[1]
        message = (
            f"goes round in a circle, in which none can be the first to start: {' after '.join((*cycle, first))};"
            " remove one of these"
        )
        findings.error(("plugins", first, "after", sound[first][second]), message)


def _fault(plugin_id: str, name: str, before: Collection[str], known: Collection[str]) -> str | None:
    if name == plugin_id:
        return "names the plugin itself, which cannot wait for itself; remove it"
    if name in before:
        return f"names {shown(name)} twice; remove one of them"
    if name not in known:
        meant = did_you_mean(name, known) or f"; its plugins are {', '.join(known)}"
        return f"names {shown(name)}, a plugin that the manifest does not have{meant}"
    return None
