"""Becoming a plugin's program, for one task, in the foreground of this terminal."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from malbox_cli.commands.common import load
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location, PluginSpec
    from malbox_cli.store.ledger_rows import TaskRow

__all__ = ["is_python", "run_under_debugger"]

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_FIRST_LINE_BYTES = 256
_NOWHERE = ("/dev/null/debug", "debug")
"""Where nothing can be: for a plugin whose release does not know of debugging, and looks for a supervisor."""


def run_under_debugger(manifest: "Location", task: "TaskRow") -> NoReturn:
    """Replace this process by the plugin's program, which runs the task under `pdb` and ends.

    It has this terminal, and no supervisor, limits or time limits.

    Raises:
        ManifestError: The manifest is not right any more.
        MalboxError: The plugin is no Python program, or cannot be started.
    """
    from malbox_cli.manifest.environment import environment_of
    from plugin_runtime.debugging import DebugTask
    from plugin_runtime.environment import PluginEnvironment
    from plugin_runtime.ports.domain import Domain

    spec = next((spec for spec in load(manifest.path).plugins if spec.pool == task.plugin), None)
    if spec is None:
        raise MalboxError(f"{manifest.path} has no plugin {task.plugin!r} any more")
    if not is_python(spec):
        raise MalboxError(f"plugin {task.plugin} runs {spec.argv[0]}, which is no Python program: pdb cannot debug it")
    told = PluginEnvironment(
        plugin_id=spec.id,
        supervisor_pid=os.getpid(),
        domain=Domain(*_NOWHERE),
        config=spec.config,
        file_ref_threshold=spec.stash_threshold,
        log_filter=spec.log_filter,
        collect=spec.collect,
        debug=DebugTask(task.task, task.sample, task.config).to_text(),
    ).variables()
    terminal = {name: os.environ[name] for name in ("TERM", "COLUMNS", "LINES") if name in os.environ}
    environment = {**terminal, **environment_of(spec, os.environ, told)}
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        os.chdir(spec.cwd)
        os.execve(spec.argv[0], spec.argv, environment)
    except OSError as error:
        raise MalboxError(f"cannot start {spec.argv[0]} in {spec.cwd}: {error.strerror}") from error


def is_python(spec: "PluginSpec") -> bool:
    """Return whether a plugin's program is a Python, or a script that names one in its first line."""
    program = Path(spec.argv[0])
    if _PYTHON.fullmatch(program.name) or _PYTHON.fullmatch(program.resolve().name):
        return True
    try:
        with program.open("rb") as file:
            first = file.readline(_FIRST_LINE_BYTES)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first
