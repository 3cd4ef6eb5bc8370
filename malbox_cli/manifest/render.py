"""The text of a new manifest."""

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from malbox_cli.manifest.instances import MAX_ID_LENGTH
from malbox_cli.manifest.specs import OWN_NAME

__all__ = ["FoundPlugin", "id_for", "render_manifest"]

_HEAD = """\
# The plugins that malbox runs here. 'malbox check' reads this file and says what is wrong with it,
# 'malbox run SAMPLE' gives a file to every plugin, 'malbox up' keeps them running.

# [malbox]
# domain = "lab"            # who shares memory; by default this manifest by itself
# state_dir = ".malbox"     # ledger, results and logs; relative to this file
# stop_timeout = "10s"      # how long a plugin has to end by itself
"""

_TAIL = """\
# What a plugin's table may say besides:
#
# config = { max_size = "64MiB" }               # strings; the plugin's on_start gets them
# env = { RULES = "rules/" }                    # added to the plugin's environment
# env_file = "my_plugin.env"                    # NAME=VALUE lines that are added too
# inherit_env = ["PATH", "LC_*"]                # what it gets of malbox's own environment; else all of it
# after = ["other-plugin"]                      # plugins that have to be ready before it is started
# start_timeout = "30s"                         # how long it has until it is ready
# task_timeout = "300s"                         # how long one task may take; else what its plugin.toml says
# restart = "on-failure"                        # or "always"; else it is not started again
# health_interval = "30s"                       # how often it is asked how it is, or "off"
# heartbeat = "10s"                             # how often its loop has to give a sign of life
# limits = { memory = "512MiB", nofile = 256 }  # what it may use; also cpu_time and procs
# nice = 5                                      # added to its niceness
# cpus = "0"                                    # the processors that it may run on
# command = ["{python}", "-m", "my_plugin"]     # instead of path: any program
"""

_LONGEST_COMMENT = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlugin:
    """A folder with a plugin.toml.

    Attributes:
        folder: The folder, absolute.
        description: What the plugin does, for a comment; may be empty.
        fault: Why it cannot be run; empty if it can.
    """

    folder: Path
    description: str = ""
    fault: str = ""


def render_manifest(plugins: Sequence[FoundPlugin], manifest_folder: Path) -> str:
    """Return the text of a manifest that runs these plugins; it loads without an error.

    A plugin with a fault becomes a comment that says why it was left out. Ids are made from the folders' names.

    Args:
        plugins: The plugins, in the order in which they are to stand.
        manifest_folder: The folder that the manifest will be in, absolute; paths are written relative to it.

    Raises:
        ValueError: None of the plugins can be run, and a manifest without plugins is not one.
    """
    if not any(not plugin.fault for plugin in plugins):
        raise ValueError("There is no plugin to write into a manifest: it has to name at least one that can be run.")
    parts = [_HEAD]
    taken = {OWN_NAME}
    for plugin in plugins:
        path = os.path.relpath(plugin.folder, manifest_folder)
        if plugin.fault:
            parts.append(f"# Left out: {_comment(path)}: {_comment(plugin.fault)}\n")
            continue
        plugin_id = id_for(plugin.folder.name, taken)
        comment = f"# {_comment(plugin.description)}\n" if plugin.description.strip() else ""
        # The id has only characters of a bare key; the path may have any, so that tomli_w writes it.
        parts.append(f"{comment}[plugins.{plugin_id}]\n{tomli_w.dumps({'path': path})}")
    return "\n".join([*parts, _TAIL])


def id_for(name: str, taken: set[str]) -> str:
    """Return a plugin id for a folder's name that is not taken yet, and take it."""
    base = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[: MAX_ID_LENGTH - 6] or "plugin"
    candidate, number = base, 1
    while candidate in taken:
        number += 1
        candidate = f"{base}-{number}"
    taken.add(candidate)
    return candidate


def _comment(text: str) -> str:
    """Return a text as part of a comment: one line, cut where it is long, without what TOML forbids there."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return line if len(line) <= _LONGEST_COMMENT else line[: _LONGEST_COMMENT - 3] + "..."
