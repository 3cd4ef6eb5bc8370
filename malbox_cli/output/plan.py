"""What `up --dry-run` prints: for each plugin what would be started, where, with what, and after which others."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby

from malbox_cli.manifest.cpus import format_cpus
from malbox_cli.manifest.environment import environment_of
from malbox_cli.manifest.order import in_order
from malbox_cli.manifest.secrets import hide, hide_in_argv
from malbox_cli.manifest.specs import Limits, PluginSpec
from malbox_cli.manifest.units import format_duration, format_size
from malbox_cli.output.text import one_line

__all__ = ["plan_as_json", "plan_as_text"]

MAX_NAMED = 4


def plan_as_json(plugins: Sequence[PluginSpec], environ: Mapping[str, str]) -> dict[str, object]:
    """Return the plan as a JSON object; secrets are hidden.

    Args:
        plugins: What would be started.
        environ: The environment that malbox has.
    """
    return {"plugins": [_object(spec, environ) for spec in in_order(plugins)]}


def plan_as_text(plugins: Sequence[PluginSpec], environ: Mapping[str, str]) -> str:
    """Return the plan for a person: a block for each plugin, in the order in which they would be started.

    Instances have one block: they differ in their ids only.
    """
    groups = {spec.id: spec.pool for spec in plugins}
    blocks = [list(specs) for _, specs in groupby(in_order(plugins), key=lambda spec: spec.pool)]
    return "\n\n".join(_block(number, specs, groups, environ) for number, specs in enumerate(blocks, 1))


def _object(spec: PluginSpec, environ: Mapping[str, str]) -> dict[str, object]:
    environment = environment_of(spec, environ, {"MALBOX_PLUGIN_ID": spec.id})
    return {
        "id": spec.id,
        "group": spec.pool,
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
        "execution": spec.execution,
        "concurrency": spec.concurrency,
        "state": spec.state,
        "spare": spec.spare,
        "scope": list(spec.scope),
        "queue_size": spec.queue_size,
        "retries": {"lost": spec.retries.lost, "error": spec.retries.error},
        "cancel_grace": spec.cancel_grace,
    }


def _block(number: int, specs: Sequence[PluginSpec], groups: Mapping[str, str], environ: Mapping[str, str]) -> str:
    spec = specs[0]
    whole = environment_of(spec, environ, {})
    of_ours = sum(name not in spec.env for name in whole)
    rows = [("runs", shlex.join(hide_in_argv(spec.argv))), ("in", str(spec.cwd))]
    if spec.after:
        rows.append(("after", ", ".join(dict.fromkeys(groups.get(each, each) for each in spec.after))))
    rows += [("env", f"{name}={hide(name, value)}") for name, value in sorted(spec.env.items())]
    rows.append(("env", f"{of_ours} variables of malbox's own (--json shows them)"))
    rows += [("config", f"{key} = {hide(key, value)}") for key, value in spec.config.items()]
    rows.append(("restart", spec.restart))
    rows.append(("timeouts", f"start {_duration(spec.start_timeout)}, task {_duration(spec.task_timeout)}"))
    rows += [("process", _process(spec)), ("tasks", _tasks(spec))]
    watched = f"health {_duration(spec.health_interval)}, heartbeat {_duration(spec.heartbeat)}"
    rows.append(("watched", watched))
    if limits := _limits(spec):
        rows.append(("limits", limits))
    lines = [f"  {key:<9}{one_line(value)}" for key, value in rows]
    return "\n".join([f"{number}. {_title(specs)}", *lines])


def _title(specs: Sequence[PluginSpec]) -> str:
    first = specs[0]
    if not first.group:
        return first.id
    ids = [spec.id for spec in specs]
    which = ", ".join(ids) if len(ids) <= MAX_NAMED else f"{ids[0]} ... {ids[-1]}"
    return f"{first.group} ({len(ids)} instance{'s' * (len(ids) > 1)}: {which})"


def _process(spec: PluginSpec) -> str:
    match spec.state:
        case "persistent":
            return "persistent"
        case "ephemeral":
            return "ephemeral, with a spare" if spec.spare else "ephemeral"
        case "scoped":
            return f"scoped, to {', '.join((spec.pool, *spec.scope))}"


def _tasks(spec: PluginSpec) -> str:
    at_once = f" {spec.concurrency}" if spec.concurrency > 1 else ""
    retries = f"{spec.retries.lost} lost, {spec.retries.error} error"
    grace = format_duration(spec.cancel_grace)
    return f"{spec.execution}{at_once}, queue {spec.queue_size}, retries {retries}, cancel grace {grace}"


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
