"""Who shares memory with whom: the root folder and the prefix that every process of one domain uses."""

from dataclasses import dataclass

__all__ = ["DEFAULT_DOMAIN", "MAX_ROOT_AND_PREFIX", "Domain"]

MAX_ROOT_AND_PREFIX = 65
"""Bytes that the root's path and the prefix may have together; above it iceoryx2 aborts the process."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A root folder and a prefix. Both empty: iceoryx2's own configuration, as a Malbox daemon uses it.

    Attributes:
        root: Folder of the files and sockets; it has to exist.
        prefix: What the name of every file in shared memory begins with.

    Raises:
        ValueError: Only one of them is empty, or they are too long together.
    """

    root: str
    prefix: str

    def __post_init__(self) -> None:
        if bool(self.root) != bool(self.prefix):
            raise ValueError(f"a domain has a root and a prefix or neither, not {self.root!r} and {self.prefix!r}")
        length = len(self.root.encode()) + len(self.prefix.encode())
        if length > MAX_ROOT_AND_PREFIX:
            raise ValueError(
                f"the domain's root {self.root!r} and prefix {self.prefix!r} have {length} bytes together, "
                f"at most {MAX_ROOT_AND_PREFIX} are possible: use a shorter folder"
            )

    @property
    def is_default(self) -> bool:
        """Whether this is iceoryx2's own configuration."""
        return not self.root


DEFAULT_DOMAIN = Domain("", "")
