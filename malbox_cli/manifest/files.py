"""What reading a manifest asks of the disk, so that everything but `load` can do without one."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

__all__ = ["Files", "Kind", "Look"]


class Kind(Enum):
    """What a path leads to."""

    FILE = "a file"
    FOLDER = "a folder"
    OTHER = "neither a file nor a folder"
    MISSING = "nothing"
    UNREACHABLE = "something that cannot be looked at"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a path.

    Attributes:
        kind: What is there, symbolic links followed.
        may_execute: Whether it is a file that this user may execute.
        reason: For what is unreachable, the system's words for why.
    """

    kind: Kind
    may_execute: bool = False
    reason: str = ""


class Files(Protocol):
    """The disk, as far as a manifest needs it."""

    def look(self, path: Path) -> Look:
        """Return what is at an absolute path; never raises."""

    def find_program(self, name: str) -> Path | None:
        """Return the absolute path of a program on PATH; None if it is not there."""

    def read(self, path: Path, limit: int) -> bytes:
        """Return what is in a file, cut after `limit` bytes.

        Raises:
            OSError: It could not be read.
        """
