"""A plugin as it runs for somebody who debugs it: without time limits, and one of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from malbox_cli.manifest.specs import PluginSpec

__all__ = ["SWITCHED_OFF", "Debugging", "debugged"]

NO_LIMIT = 365 * 24 * 3600.0
"""Seconds that nobody sits in front of a debugger, for limits that every plugin has."""

SWITCHED_OFF = "start_timeout, task_timeout, cancel_grace, health_interval, heartbeat, limits.cpu_time and restart"
"""The keys of the manifest that are not followed."""


@dataclass(frozen=True, slots=True)
class Debugging:
    """What is asked for.

    Attributes:
        plugin: The name of a plugin's table.
        address: Where its process waits for a debugger.
    """

    plugin: str
    address: str


def debugged(specs: Iterable[PluginSpec], debugging: Debugging) -> tuple[PluginSpec, ...]:
    """Return the plugins with one of them as it runs for somebody who debugs it; of its instances the first is left."""
    specs = tuple(specs)
    kept, *left_out = [spec.id for spec in specs if spec.pool == debugging.plugin] or [""]
    return tuple(
        replace(
            _without_limits(spec, debugging.address) if spec.id == kept else spec,
            after=tuple(each for each in spec.after if each not in left_out),
        )
        for spec in specs
        if spec.id not in left_out
    )


def _without_limits(spec: PluginSpec, address: str) -> PluginSpec:
    return replace(
        spec,
        start_timeout=NO_LIMIT,
        task_timeout=None,
        cancel_grace=NO_LIMIT,
        health_interval=None,
        heartbeat=None,
        limits=replace(spec.limits, cpu_time=None),
        restart="no",
        spare=False,  # it would wait for a debugger at the same address
        debugger=address,
    )
