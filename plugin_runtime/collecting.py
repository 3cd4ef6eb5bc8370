"""What is collected when a task ends, and what of it is not and why."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from plugin_runtime.globs import matcher

__all__ = ["DEFAULT_MAX_FILE_SIZE", "MAX_FILES", "Collecting", "Rules", "result_name_of"]

DEFAULT_MAX_FILE_SIZE = 50 << 20
"""Bytes; a larger file is not collected unless plugin.toml allows more."""

MAX_FILES = 1000
"""How many files of one task are collected at most."""

_MAX_NAME_BYTES = 255
_CUT = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which files of a folder are collected.

    Attributes:
        enabled: Whether any are.
        include: Patterns for those that are.
        exclude: Patterns for those that are not, whatever the others say.
        max_file_size: Bytes above which a file is not.
    """

    enabled: bool = True
    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    max_file_size: int = DEFAULT_MAX_FILE_SIZE

    def wants(self, path: str) -> bool:
        """Return whether the patterns want a file, given its path below the folder."""
        return bool(matcher(self.include).fullmatch(path)) and not matcher(self.exclude).fullmatch(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """What is collected.

    Attributes:
        artifacts: Of the task's own folder.
        logs: Of the folder that a program of somebody else writes its logs to.
        log_folder: That folder, absolute; empty: there is none.
    """

    artifacts: Rules = Rules()
    logs: Rules = field(default=Rules(enabled=False))
    log_folder: str = ""

    def to_text(self) -> str:
        """Return what `from_text` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Collecting":
        """Read it.

        Raises:
            ValueError: It makes no sense.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(
                artifacts=_rules(fields["artifacts"]),
                logs=_rules(fields["logs"]),
                log_folder=str(fields["log_folder"]),
            )
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _rules(fields: Mapping[str, Any]) -> Rules:
    return Rules(
        enabled=bool(fields["enabled"]),
        include=tuple(map(str, fields["include"])),
        exclude=tuple(map(str, fields["exclude"])),
        max_file_size=int(fields["max_file_size"]),
    )


def result_name_of(folder: str, path: str, digest: str) -> str:
    """Return what the result of a file is called: its folder and its path there, at most 255 bytes of UTF-8.

    Args:
        folder: What the folder is called.
        path: The file's path below it, as the system has it: what is no UTF-8 stands escaped in the name.
        digest: What tells the path from others, for one that has to be cut.
    """
    name = f"{folder}/{path}".encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    data = name.encode()
    if len(data) <= _MAX_NAME_BYTES:
        return name
    end = f"-{digest[:12]}"
    suffix = name[-_CUT:].encode()[-_CUT:].decode("utf-8", "ignore")
    head = data[: _MAX_NAME_BYTES - len(end) - _CUT].decode("utf-8", "ignore")
    return f"{head}{end}{suffix}"
