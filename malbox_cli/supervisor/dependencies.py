"""Who waits for whom: plugins start after those that they need, and stop before them."""

from collections.abc import Iterable, Mapping

from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["before", "blocker", "dependents", "what_it_waits_for"]


def blocker(plugin: PluginRecord, plugins: Mapping[str, PluginRecord]) -> str | None:
    """Return why a plugin can never be started as things stand, or None: one that it needs will not be READY."""
    for needed_id in plugin.spec.after:
        needed = plugins.get(needed_id)
        if needed is None:
            return f"it comes after {needed_id}, which is not run"
        if needed.is_gone and not needed.comes_back:
            return f"it comes after {needed_id}, which is {needed.state.value}: {needed.reason}"
    return None


def what_it_waits_for(plugin: PluginRecord, plugins: Mapping[str, PluginRecord]) -> list[PluginRecord]:
    """Return those that a plugin needs and that are not READY, or not for long any more."""
    needed = (plugins.get(needed_id) for needed_id in plugin.spec.after)
    return [other for other in needed if other is not None and not other.standing.is_up and not other.is_idle]


def dependents(plugin: PluginRecord, plugins: Mapping[str, PluginRecord]) -> list[PluginRecord]:
    """Return those that come after a plugin and still have a process: they end before it does."""
    return [other for other in plugins.values() if plugin.id in other.spec.after and not other.has_no_process]


def before(plugin_ids: Iterable[str], plugins: Mapping[str, PluginRecord]) -> list[str]:
    """Return these plugins and all that they need, each after those that it needs."""
    found: dict[str, None] = {}
    entered: set[str] = set()

    def enter(plugin_id: str) -> None:
        if plugin_id in entered or plugin_id not in plugins:
            return
        entered.add(plugin_id)
        for needed in plugins[plugin_id].spec.after:
            enter(needed)
        found[plugin_id] = None

    for plugin_id in plugin_ids:
        enter(plugin_id)
    return list(found)
