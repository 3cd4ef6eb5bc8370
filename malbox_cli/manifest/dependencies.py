"""Whether the plugins that a manifest's plugins name are there, and can wait for each other as their `after` says."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.instances import plugin_of
from malbox_cli.manifest.order import cycles_in
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.table import shown

__all__ = ["check_dependencies", "check_scopes", "check_subscriptions"]

_MOST_CYCLES = 20  # of a manifest that has more, nobody reads the rest before mending these


def check_dependencies(
    after: Mapping[str, Sequence[str]], known: Collection[str], instances: Mapping[str, int], findings: Findings
) -> None:
    """Add an error for every name that is unknown, the plugin's own or there twice, and for every circle.

    Args:
        after: What each plugin says that it comes after, in the order of the file.
        known: The names of the manifest's tables.
        instances: How many processes each of them runs as.
        findings: Where to add them.
    """
    sound: dict[str, dict[str, int]] = {}  # each plugin's sound names, with their places
    for plugin_id, names in after.items():
        sound[plugin_id] = {}
        for index, name in enumerate(names):
            fault = _fault(plugin_id, name, sound[plugin_id]) or _unknown(name, known, instances)
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


def check_scopes(
    scopes: Mapping[str, Sequence[str]], known: Collection[str], instances: Mapping[str, int], findings: Findings
) -> None:
    """Add an error for every name in a plugin's `scope` that is unknown; its other arguments are as above."""
    for plugin_id, names in scopes.items():
        for index, name in enumerate(names):
            fault = _unknown(name, known, instances)
            if fault is not None:
                findings.error(("plugins", plugin_id, "scope", index), fault)


def check_subscriptions(
    subscribe: Mapping[str, Sequence[str]], known: Collection[str], instances: Mapping[str, int], findings: Findings
) -> None:
    """Add an error for every name in a plugin's `subscribe` that is unknown, its own or there twice; circles may be."""
    for plugin_id, names in subscribe.items():
        for index, name in enumerate(names):
            fault = _unknown(name, known, instances)
            if name == plugin_id:
                fault = "names the plugin itself, which has its own results already; remove it"
            elif name in names[:index]:
                fault = f"names {shown(name)} twice; remove one of them"
            if fault is not None:
                findings.error(("plugins", plugin_id, "subscribe", index), fault)


def _fault(plugin_id: str, name: str, before: Collection[str]) -> str | None:
    if name == plugin_id:
        return "names the plugin itself, which cannot wait for itself; remove it"
    if name in before:
        return f"names {shown(name)} twice; remove one of them"
    return None


def _unknown(name: str, known: Collection[str], instances: Mapping[str, int]) -> str | None:
    if name in known:
        return None
    if (plugin := plugin_of(name, instances)) is not None:
        return f"names {shown(name)}, one of the processes of {plugin}; write {plugin!r}, which means all of them"
    meant = did_you_mean(name, known) or f"; its plugins are {', '.join(known)}"
    return f"names {shown(name)}, a plugin that the manifest does not have{meant}"
