"""What a plugin's table says of its process: its environment, its limits, its niceness and its processors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from malbox_cli.manifest.cpus import MOST_CPUS, parse_cpus
from malbox_cli.manifest.environment import read_inherit_env, refuse_env_name
from malbox_cli.manifest.specs import Limits
from malbox_cli.manifest.table import Table
from malbox_cli.manifest.units import format_size

__all__ = ["ProcessKeys", "read_process_keys"]

_LEAST_MEMORY = 1 << 20
_PYTHON_MEMORY = 32 << 20  # with a plugin that does nothing; 24 MiB were too little, see docs/manifest.md
_LEAST_NOFILE = 64  # a plugin's ports take 40, the interpreter some more
_MOST_NOFILE = 1 << 20  # what Linux allows unless told otherwise
_LEAST_PROCS = 2  # a plugin's handlers have a thread of their own
_MOST_PROCS = 1 << 22  # the numbers of processes end there
_CPUS = 'an array of processors such as [0, 1], or a list such as "0-3,6"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessKeys:
    """The keys as they were read; what is absent, or was found wrong, has its default.

    Attributes:
        env: What is added to the environment.
        env_file: The file of what is added besides, as written; None without one.
        inherit_env: What is passed on of our own environment: True for all, else names in which ``*`` stands for
            anything.
        limits: What the process may use.
        nice: What is added to its niceness.
        cpus: The processors it may run on; None for those that we may run on.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    env_file: str | None = None
    inherit_env: Literal[True] | tuple[str, ...] = True
    limits: Limits = field(default_factory=Limits)
    nice: int = 0
    cpus: frozenset[int] | None = None


def read_process_keys(table: Table) -> ProcessKeys:
    """Return what a plugin's table says of its process, with whatever is wrong added to its findings."""
    return ProcessKeys(
        env=table.string_map("env", example='env = { RULES = "rules/" }', refuse_name=refuse_env_name),
        env_file=table.string("env_file", expected='a file of NAME=VALUE lines such as "yara.env"'),
        inherit_env=read_inherit_env(table),
        limits=_limits(table),
        nice=table.integer("nice", at_least=-20, at_most=19, example=5) or 0,
        cpus=_cpus(table),
    )


def _limits(table: Table) -> Limits:
    limits = table.table("limits", example='limits = { memory = "512MiB" }')
    if limits is None:
        return Limits()
    memory = limits.size("memory", example="512MiB", at_least=_LEAST_MEMORY)
    if memory is not None and memory < _PYTHON_MEMORY:
        least = format_size(_PYTHON_MEMORY)
        limits.note("memory", f"is {format_size(memory)}, but a plugin in Python needs {least} before it does anything")
    read = Limits(
        memory=memory,
        cpu_time=limits.whole_seconds("cpu_time", example="60s"),
        nofile=limits.integer("nofile", at_least=_LEAST_NOFILE, at_most=_MOST_NOFILE, example=256),
        procs=limits.integer("procs", at_least=_LEAST_PROCS, at_most=_MOST_PROCS, example=64),
    )
    limits.finish()
    return read


def _cpus(table: Table) -> frozenset[int] | None:
    if isinstance(table.data.get("cpus"), str):
        text = table.string("cpus", expected=_CPUS)
        try:
            return None if text is None else parse_cpus(text)
        except ValueError as error:
            table.error("cpus", str(error))
            return None
    numbers = table.integers("cpus", expected=_CPUS, at_least=0, at_most=MOST_CPUS - 1)
    if numbers == ():
        table.error("cpus", f"names no processor; write {_CPUS}, or remove it")
    return frozenset(numbers) if numbers else None
