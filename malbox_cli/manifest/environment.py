"""Which variables a plugin's process gets of ours, and what a variable may be called."""

import re
from collections.abc import Mapping
from typing import Literal

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.manifest.table import Table, shown
from plugin_runtime.environment import SET_BY_SUPERVISOR

__all__ = ["ESSENTIAL", "environment_of", "inherited", "read_inherit_env", "refuse_env_name"]

ESSENTIAL = (
    *("PATH", "LD_LIBRARY_PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    "XDG_RUNTIME_DIR",
)
"""What ``inherit_env = false`` still passes on: what programs need to start, to find their files and to write text."""

_OURS = "MALBOX_"
_EXPECTED = 'true, false or an array of names such as ["PATH", "LC_*"]'


def inherited(environ: Mapping[str, str], inherit: Literal[True] | tuple[str, ...]) -> dict[str, str]:
    """Return what a plugin gets of an environment.

    Variables whose names begin with ``MALBOX_`` are never among it: they are meant for us, and a plugin has its own.

    Args:
        environ: The environment.
        inherit: True for all of it, else names, in which ``*`` stands for any characters or none.
    """
    theirs = {name: value for name, value in environ.items() if not name.startswith(_OURS)}
    if inherit is True:
        return theirs
    wanted = re.compile("|".join(".*".join(map(re.escape, name.split("*"))) for name in inherit), re.DOTALL)
    return {name: value for name, value in theirs.items() if inherit and wanted.fullmatch(name)}


def environment_of(spec: PluginSpec, environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a plugin's process.

    Args:
        spec: The plugin.
        environ: The environment that malbox has.
        variables: What the supervisor tells the plugin; it goes before everything else.
    """
    # Without it a Python plugin's prints would be seen when it ends, or never where it is killed.
    return {"PYTHONUNBUFFERED": "1", **inherited(environ, spec.inherit_env), **spec.env, **variables}


def read_inherit_env(table: Table) -> Literal[True] | tuple[str, ...]:
    """Return what a plugin's `inherit_env` says, as `inherited` takes it; True where it is absent or wrong."""
    if isinstance(table.data.get("inherit_env"), bool):
        return True if table.boolean("inherit_env") else ESSENTIAL
    names = table.strings("inherit_env", expected=_EXPECTED)
    for index, name in enumerate(names or ()):
        if not _is_possible(name):
            table.error_in("inherit_env", index, _impossible(name))
        elif name.startswith(_OURS):
            message = (
                f"is {shown(name)}, but what begins with {_OURS} is never passed on; set it with env, or remove it"
            )
            table.error_in("inherit_env", index, message)
    return True if names is None else names


def refuse_env_name(name: str) -> str | None:
    """Return why a plugin cannot be given a variable of this name, None if it can."""
    if not _is_possible(name):
        return _impossible(name)
    if name in SET_BY_SUPERVISOR:
        return "is set by malbox itself for every plugin; remove it"
    return None


def _is_possible(name: str) -> bool:
    return bool(name) and "=" not in name and "\0" not in name


def _impossible(name: str) -> str:
    return f"{shown(name)} cannot be the name of an environment variable: it has to be without '=' and not empty"
