"""A plugin that runs as several processes: what they are called, and which plugin a process's name is of."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.specs import PluginSpec
from plugin_runtime.wire.names import MAX_PLUGINS

__all__ = ["MAX_ID_LENGTH", "MOST_INSTANCES", "check_instances", "expand", "plugin_of", "process_ids", "too_many"]

MAX_ID_LENGTH = 63
"""Characters that a plugin's id has at most: names of services, files and columns are made from it."""

MOST_INSTANCES = 64
"""Processes that one plugin may run as."""


def process_ids(name: str, instances: int) -> tuple[str, ...]:
    """Return the ids of a plugin's processes: its name where there is one, else its name with a number from 1 on."""
    return (name,) if instances == 1 else tuple(f"{name}-{number}" for number in range(1, instances + 1))


def plugin_of(process_id: str, instances: Mapping[str, int]) -> str | None:
    """Return the name of the plugin that runs as several processes of which this is one; None if there is none.

    Args:
        process_id: The id.
        instances: How many processes each plugin runs as.
    """
    name, _, number = process_id.rpartition("-")
    return name if number and process_id in process_ids(name, instances.get(name, 1)) else None


def check_instances(instances: Mapping[str, int], known: Collection[str], findings: Findings) -> None:
    """Add an error for every plugin whose processes could not be told from another plugin, or have too long an id.

    Args:
        instances: How many processes each plugin runs as, in the order of the file.
        known: The names of all tables.
        findings: Where to add them.
    """
    for name, count in instances.items():
        if count == 1:
            continue
        path = ("plugins", name, "instances")
        ids = process_ids(name, count)
        taken = next((process_id for process_id in ids if process_id in known), None)
        if taken is not None:
            message = (
                f"makes processes called {ids[0]} to {ids[-1]}, but there is a table [plugins.{taken}] too;"
                " rename one of the two tables"
            )
            findings.error(path, message)
        elif len(name) <= MAX_ID_LENGTH < len(ids[-1]):  # a longer name is an error by itself
            message = (
                f"makes a process called {ids[-1]}, but an id has at most {MAX_ID_LENGTH} characters;"
                " give the table a shorter name"
            )
            findings.error(path, message)


def expand(plugins: Sequence[PluginSpec], instances: Mapping[str, int]) -> Iterator[PluginSpec]:
    """Yield the plugins in their order, each process by itself; what they come after are processes too.

    Args:
        plugins: What each table says; their `after` has names of tables.
        instances: How many processes each table runs as; one where it is not there.
    """
    for spec in plugins:
        after = tuple(each for name in spec.after for each in process_ids(name, instances.get(name, 1)))
        for process_id in process_ids(spec.id, instances.get(spec.id, 1)):
            group = "" if process_id == spec.id else spec.id
            yield replace(spec, id=process_id, group=group, after=after)


def too_many(plugins: Sequence[PluginSpec]) -> str | None:
    """Return why so many processes cannot run at once, as a clause; None if they can."""
    if len(plugins) <= MAX_PLUGINS:
        return None
    return f"these are {len(plugins)} processes, and one supervisor can have {MAX_PLUGINS}, each instance counted"
