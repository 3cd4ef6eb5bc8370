"""What `up --dry-run` prints: for each plugin what would be started, where, with what, and after which others."""

import shlex
from collections.abc import Mapping, Sequence

from malbox_cli.manifest.cpus import format_cpus
from malbox_cli.manifest.environment import environment_of
from malbox_cli.manifest.order import in_order
from malbox_cli.manifest.secrets import hide, hide_in_argv
from malbox_cli.manifest.specs import Limits, PluginSpec
from malbox_cli.manifest.units import format_duration, format_size
from malbox_cli.output.text import one_line

__all__ = ["plan_as_json", "plan_as_text"]


def plan_as_json(plugins: Sequence[PluginSpec], environ: Mapping[str, str]) -> dict[str, object]:
    """Return the plan as a JSON object; secrets are hidden.

    Args:
        plugins: What would be started.
        environ: The environment that malbox has.
    """
    return {"plugins": [_object(spec, environ) for spec in in_order(plugins)]}


def plan_as_text(plugins: Sequence[PluginSpec], environ: Mapping[str, str]) -> str:
    """Return the plan for a person: a block for each plugin, in the order in which they would be started."""
    return "\n\n".join(_block(number, spec, environ) for number, spec in enumerate(in_order(plugins), 1))


def _object(spec: PluginSpec, environ: Mapping[str, str]) -> dict[str, object]:
    environment = environment_of(spec, environ, {"MALBOX_PLUGIN_ID": spec.id})
    return {
        "id": spec.id,
        "argv": list(hide_in_argv(spec.argv)),
        "cwd": str(spec.cwd),
        "environment": {name: hide(name, value) for name, value in sorted(environment.items())},
        "config": {key: hide(key, value) for key, value in spec.config.items()},
        "after": list(spec.after),
        "restart": spec.restart,
        "start_timeout": spec.start_timeout,
        "task_timeout": spec.task_timeout,
        "health_interval": spec.health_interval,
        "heartbeat": spec.heartbeat,
        "limits": {key: getattr(spec.limits, key) for key in Limits.__slots__},
        "nice": spec.nice,
        "cpus": None if spec.cpus is None else sorted(spec.cpus),
    }


def _block(number: int, spec: PluginSpec, environ: Mapping[str, str]) -> str:
    whole = environment_of(spec, environ, {})
    of_ours = sum(name not in spec.env for name in whole)
    rows = [("runs", shlex.join(hide_in_argv(spec.argv))), ("in", str(spec.cwd))]
    if spec.after:
        rows.append(("after", ", ".join(spec.after)))
    rows += [("env", f"{name}={hide(name, value)}") for name, value in sorted(spec.env.items())]
    rows.append(("env", f"{of_ours} variables of malbox's own (--json shows them)"))
    rows += [("config", f"{key} = {hide(key, value)}") for key, value in spec.config.items()]
    rows.append(("restart", spec.restart))
    rows.append(("timeouts", f"start {_duration(spec.start_timeout)}, task {_duration(spec.task_timeout)}"))
    watched = f"health {_duration(spec.health_interval)}, heartbeat {_duration(spec.heartbeat)}"
    rows.append(("watched", watched))
    if limits := _limits(spec):
        rows.append(("limits", limits))
    lines = [f"  {key:<9}{one_line(value)}" for key, value in rows]
    return "\n".join([f"{number}. {spec.id}", *lines])


def _limits(spec: PluginSpec) -> str:
    limits = spec.limits
    parts = [
        ("memory", None if limits.memory is None else format_size(limits.memory)),
        ("cpu_time", None if limits.cpu_time is None else format_duration(limits.cpu_time)),
        ("nofile", limits.nofile),
        ("procs", limits.procs),
        ("nice", spec.nice or None),
        ("cpus", None if spec.cpus is None else format_cpus(spec.cpus)),
    ]
    return ", ".join(f"{key} {value}" for key, value in parts if value is not None)


def _duration(seconds: float | None) -> str:
    return "never" if seconds is None else format_duration(seconds)
