"""What a manifest is held against besides its files: the interpreter, the processors and what this user may do."""

from dataclasses import dataclass
from pathlib import Path

from malbox_cli.manifest.cpus import format_cpus
from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.lines import KeyPath
from malbox_cli.manifest.process_keys import ProcessKeys

__all__ = ["Host", "hold_against"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """This machine and this process, as far as plugins get something from them.

    Attributes:
        python: The interpreter that ``{python}`` stands for, absolute.
        cpus: The processors that this process may run on.
        lowest_nice: The lowest niceness that it may add to its own for a plugin, at most 0.
        is_root: Whether it is root, whom a limit on processes does not bind.
    """

    python: Path
    cpus: frozenset[int]
    lowest_nice: int = 0
    is_root: bool = False


def hold_against(host: Host, keys: ProcessKeys, path: KeyPath, findings: Findings) -> None:
    """Add an error for what a plugin is to get and this process cannot give, and a note for what will not bind.

    Args:
        host: What there is.
        keys: What the plugin's table asks for.
        path: The plugin's table.
        findings: Where to add them.
    """
    missing = (keys.cpus or frozenset()) - host.cpus
    if missing:
        message = (
            f"names processor {format_cpus(missing)}, on which malbox may not run;"
            f" it may run on {format_cpus(host.cpus)}"
        )
        findings.error((*path, "cpus"), message)
    if keys.nice < host.lowest_nice:
        message = (
            f"is {keys.nice}, but a program of this user may go down to {host.lowest_nice};"
            " write more, or run malbox as root"
        )
        findings.error((*path, "nice"), message)
    if keys.limits.procs is not None and host.is_root:
        message = (
            "malbox runs as root, whom a limit on processes does not bind:"
            " it holds only where the plugin gets a control group of its own"
        )
        findings.note((*path, "limits", "procs"), message)
