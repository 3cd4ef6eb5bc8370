"""How a plugin's tasks run, from what the manifest, its plugin.toml and this machine say together."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.manifest_file import PluginTable
from malbox_cli.manifest.plugin_file import PluginFile
from malbox_cli.manifest.specs import MAX_IN_FLIGHT, Execution, ProcessState
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.table import shown

__all__ = ["Tasking", "settle_tasking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasking:
    """What is settled; as the attributes of `PluginSpec` that are called the same."""

    execution: Execution = "sequential"
    concurrency: int = 1
    state: ProcessState = "persistent"
    scope: tuple[str, ...] = ()


def settle_tasking(
    table: PluginTable, about: PluginFile, processors: int, known: Collection[str] | None, findings: Findings
) -> Tasking:
    """Return how a plugin's tasks run, with an error for what contradicts itself and a note for what nobody acts upon.

    Args:
        table: What the manifest says, which decides.
        about: What its plugin.toml says.
        processors: On how many processors it may run.
        known: The names of the manifest's tables; None where they are not known, and any name may be one.
        findings: Where to add what is wrong with the table.
    """
    execution = cast("Execution | None", _settled("execution", table, about, "sequential"))
    state = cast("ProcessState | None", _settled("state", table, about, "persistent"))
    if execution is None or state is None:  # wrong as written, which has been said
        return Tasking()
    for key, fault in _contradictions(table, about, execution, state):
        findings.error(("plugins", table.id, key), fault)
    for note in _notes(table, about, execution, state):
        findings.note(("plugins", table.id), note)
    return Tasking(
        execution=execution,
        concurrency=_concurrency(execution, state, table.tasks.concurrency or processors),
        state=state,
        scope=_scope(table, about, known, findings) if state == "scoped" else (),
    )


def _settled(key: Literal["execution", "state"], table: PluginTable, about: PluginFile, default: str) -> str | None:
    for said in (table.tasks.how, about.how):
        if key in said.wrong:
            return None
        value: str | None = getattr(said, key)
        if value is not None:
            return value
    return default


def _concurrency(execution: Execution, state: ProcessState, parallel: int) -> int:
    if state == "ephemeral":
        return 1
    match execution:
        case "exclusive" | "sequential":
            return 1
        case "parallel":
            return max(1, min(parallel, MAX_IN_FLIGHT))
        case "unrestricted":
            return MAX_IN_FLIGHT


def _contradictions(
    table: PluginTable, about: PluginFile, execution: Execution, state: ProcessState
) -> Iterator[tuple[str, str]]:
    """Yield the keys of a table that do not go with the others, each with what is wrong."""
    keys = table.tasks
    if keys.instances > 1 and execution == "exclusive":
        fault = 'and with execution = "exclusive" one task runs at a time and nothing else beside it'
        yield "instances", f"is {keys.instances}, {fault}; write 1, or another execution"
    if keys.concurrency is not None and execution != "parallel":
        fault = f'goes only with execution = "parallel", and this plugin\'s is "{execution}"'
        yield "concurrency", f'{fault}; write execution = "parallel", or remove it'
    elif keys.concurrency is not None and state == "ephemeral":
        fault = (
            'is how many tasks a process works on at once, and with state = "ephemeral" each task has one of its own'
        )
        yield "concurrency", f"{fault}; for so many at once write instances = {keys.concurrency} instead"
    if keys.spare and state != "ephemeral":
        fault = f'is true, which goes only with state = "ephemeral", and this plugin\'s is "{state}"'
        yield "spare", f'{fault}; write state = "ephemeral", or remove it'
    if keys.scope is not None and state != "scoped":
        fault = f'goes only with state = "scoped", and this plugin\'s is "{state}"'
        yield "scope", f'{fault}; write state = "scoped", or remove it'
    if state == "scoped" and keys.scope is None and about.scope is None and not about.lacks_scope:
        fault = 'is "scoped", which needs a scope: the plugins whose open tasks keep its process alive beside its own'
        yield "state", f'{fault}; add scope = ["ID"], or a table [scope] to its plugin.toml'
    if state != "persistent" and table.lifetime.restart == "always":
        fault = f'is "always", but with state = "{state}" there is a process only when a task needs one'
        yield "restart", f'{fault}; write "on-failure", or remove it'


def _notes(table: PluginTable, about: PluginFile, execution: Execution, state: ProcessState) -> Iterator[str]:
    if about.scope is not None and state != "scoped":
        yield f'its plugin.toml has a table [scope], which counts only with state = "scoped"; its state is "{state}"'
    if state == "ephemeral" and execution in ("parallel", "unrestricted") and table.tasks.instances == 1:
        yield (
            f'execution is "{execution}" and state is "ephemeral": each process has one task, and there is one process'
            " at a time; instances says how many there may be"
        )


def _scope(table: PluginTable, about: PluginFile, known: Collection[str] | None, findings: Findings) -> tuple[str, ...]:
    """Return the names of other tables whose tasks keep a plugin alive; the manifest's own were checked already."""
    if table.tasks.scope is not None:
        names = table.tasks.scope
    else:
        names = about.scope or ()
        for name in names:
            if known is not None and name not in known:
                meant = did_you_mean(name, known)
                message = (
                    f"the [scope] of its plugin.toml names {shown(name)}, a plugin that the manifest does not have"
                )
                findings.note(("plugins", table.id), f"{message}{meant}; without it, it has no effect")
    wanted = (name for name in dict.fromkeys(names) if name != table.id)
    return tuple(name for name in wanted if known is None or name in known)
