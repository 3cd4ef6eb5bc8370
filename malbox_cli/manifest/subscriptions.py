"""Which plugins get the results of which others, from what the manifest and the plugin.toml files say together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.instances import process_ids
from malbox_cli.manifest.specs import PluginSpec, Source
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.table import shown

__all__ = ["connect", "name_sources"]


def name_sources(
    specs: Sequence[PluginSpec], by_plugin_file: Mapping[str, Collection[str]], findings: Findings
) -> Iterator[PluginSpec]:
    """Yield the plugins, each with the names of the tables whose results it gets.

    Args:
        specs: The plugins, their instances as one; `subscribe` is set where the manifest has the key.
        by_plugin_file: The plugins for which plugin.toml decides, with the names it has; none: every other plugin.
        findings: Where to add a note for a name that is of no plugin. The manifest's own were checked already.
    """
    for spec in specs:
        names = by_plugin_file.get(spec.id)
        if names is None:
            yield spec
            continue
        others = [other for other in specs if other.id != spec.id]
        found = [other.id for other in others if not names or other.id in names or other.name in names]
        for name in names:
            if not any(name in (other.id, other.name) for other in others):
                meant = did_you_mean(name, [other.id for other in others])
                findings.note(
                    ("plugins", spec.id),
                    f"the [events] of its plugin.toml name {shown(name)}, which the manifest does not have{meant};"
                    " without it, it has no effect",
                )
        yield replace(spec, subscribe=tuple(found))


def connect(plugins: Sequence[PluginSpec], instances: Mapping[str, int]) -> Iterator[PluginSpec]:
    """Yield the processes with those whose results they get, and those that get theirs.

    Args:
        plugins: Each process by itself; their `subscribe` has names of tables.
        instances: How many processes each table runs as.
    """
    listeners = {spec.id: tuple(other.id for other in plugins if spec.pool in other.subscribe) for spec in plugins}
    for spec in plugins:
        sources = tuple(
            Source(source, plugin, listeners[source].index(spec.id))
            for plugin in spec.subscribe
            for source in process_ids(plugin, instances.get(plugin, 1))
            if source in listeners
        )
        yield replace(spec, sources=sources, listeners=listeners[spec.id])
