"""Which release of iceoryx2 a compiled program was built on: it is in the program's own file.

A program in Rust keeps the paths of the sources it was made of, for what it prints where it gives up; that of a crate
from a registry has the crate's release in it. Release builds have them, and stripped ones.
"""

import os
import re
import sys

from malbox_cli.supervisor.processes import SpawnError

__all__ = ["BuiltOn"]

MAX_BYTES = 64 << 20
"""How far into a program to look: such text stands before its code, and what it is debugged with after that."""
ELF = b"\x7fELF"
BEGINNING = b"/iceoryx2-"
RELEASE = re.compile(rb"/iceoryx2-(\d+\.\d+\.\d+)/src/")
BLOCK_BYTES = 1 << 20
MAX_PATH_PART = 80
"""Bytes that what is looked for may have: it may stand across the end of a block."""


class BuiltOn:
    """Looks into programs, each once until its file is another."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], frozenset[str]]] = {}

    def require(self, program: str, ours: str) -> None:
        """Check that a program was not built on another release than ours.

        One of which that cannot be seen may be started: it is known once it says so itself, or opens its services.

        Args:
            program: Its absolute path.
            ours: The release that malbox has loaded; empty where that is not known.

        Raises:
            SpawnError: It would find the services of its supervisor in a state that it takes for broken.
        """
        releases = self._releases(program) if program != sys.executable else frozenset()
        if ours and releases and ours not in releases:
            theirs = ", ".join(sorted(releases))
            raise SpawnError(
                f"built on iceoryx2 {theirs}, malbox runs on {ours}, and both need the same release: "
                f'build {program} again with iceoryx2 = "={ours}"'
            )

    def _releases(self, program: str) -> frozenset[str]:
        try:
            status = os.stat(program)
            state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if program not in self._known or self._known[program][0] != state:
                self._known[program] = state, _releases_in(program)
            return self._known[program][1]
        except (OSError, ValueError):  # who starts it says what is wrong with it
            return frozenset()


def _releases_in(program: str) -> frozenset[str]:
    found: set[str] = set()
    with open(program, "rb") as file:  # not mapped: a compiler may cut it meanwhile
        block = file.read(BLOCK_BYTES)
        if not block.startswith(ELF):
            return frozenset()
        while block:
            if BEGINNING in block:
                found.update(match.decode() for match in RELEASE.findall(block))
            if file.tell() >= MAX_BYTES:
                break
            more = file.read(BLOCK_BYTES)
            block = block[-MAX_PATH_PART:] + more if more else b""
    return frozenset(found)
