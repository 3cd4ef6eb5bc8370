"""What the formats have and this version does not do; a version that learns one of them deletes its row.

In the manifest, which is ours, such a key is an error: whoever writes it counts on it. In a plugin.toml, which is
Malbox's, it is accepted with a note: the same folder has to run there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.lines import KeyPath
from malbox_cli.manifest.table import shown

__all__ = ["NOT_SUPPORTED", "NotSupported", "keys_not_supported", "note_what_differs", "refuse_what_is_not_supported"]


@dataclass(frozen=True, slots=True)
class NotSupported:
    """One key.

    Attributes:
        file: The file it stands in; in the manifest it is a key of ``[plugins.<id>]``.
        key: Its path below that table, or from the top of plugin.toml.
        instead: What this version does, as a clause.
        harmless: The values that ask for nothing else than that.
    """

    file: Literal["manifest", "plugin.toml"]
    key: tuple[str, ...]
    instead: str
    harmless: tuple[object, ...] = ()


NOT_SUPPORTED = (
    NotSupported("plugin.toml", ("runtime", "port"), "only a guest plugin listens on a port"),
    NotSupported("plugin.toml", ("runtime", "stash", "ttl_secs"), "files are kept as the plugin left them"),
)


def keys_not_supported() -> tuple[str, ...]:
    """Return the keys of ``[plugins.<id>]`` in the manifest that exist but are not supported."""
    return tuple(row.key[0] for row in NOT_SUPPORTED if row.file == "manifest")


def refuse_what_is_not_supported(table: Mapping[str, object], path: KeyPath, findings: Findings) -> None:
    """Add an error for every key of a manifest's plugin that this version would not act upon."""
    for row in NOT_SUPPORTED:
        if row.file == "manifest" and _asks_for_more(row, value := _value_at(table, row.key)):
            harmless = row.harmless[0] if row.harmless else None
            allowed = f" or write {json.dumps(harmless)}" if isinstance(harmless, int | str) else ""
            what = f" ({shown(value)})" if isinstance(value, str) else ""
            message = f"is not supported by this version of malbox{what}; remove it{allowed}: {row.instead}"
            findings.error((*path, *row.key), message)


def note_what_differs(document: Mapping[str, object], findings: Findings) -> None:
    """Add a note for everything in a plugin.toml that this version does not act upon."""
    for row in NOT_SUPPORTED:
        if row.file == "plugin.toml" and _asks_for_more(row, value := _value_at(document, row.key)):
            what = f" = {shown(value)}" if isinstance(value, str) else ""
            findings.note(row.key, f"{row.key[-1]}{what}: {row.instead}")


def _value_at(table: Mapping[str, object], key: tuple[str, ...]) -> object:
    value: object = table
    for part in key:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _asks_for_more(row: NotSupported, value: object) -> bool:
    # TOML has no null, so None is absence; and True == 1, so the types have to agree as well.
    return value is not None and not any(type(value) is type(fine) and value == fine for fine in row.harmless)
