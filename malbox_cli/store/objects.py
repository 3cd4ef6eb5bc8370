"""Files named after their content, in the state folder: `objects/ab/abcd…` for results, `samples/ab/abcd…` for copies.

What is written gets its name only once it is whole, by a rename. So a file that has such a name is that content, and
what was being written when its writer ended is a file in the folder `tmp`, which `prune` removes.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

__all__ = ["OBJECTS", "SAMPLES", "TMP", "make_folder", "object_path", "restore_small", "sync_folder", "temporary"]

OBJECTS, SAMPLES, TMP = "objects", "samples", "tmp"

_numbers = count()


def object_path(folder: Path, sha256: str) -> Path:
    """Return where in `objects` or `samples` the content with this digest is."""
    return folder / sha256[:2] / sha256


def temporary(folder: Path) -> Path:
    """Return a name that nobody has for a file that is being written, and make its folder.

    Raises:
        OSError: The folder cannot be made.
    """
    tmp = folder / TMP
    make_folder(tmp)
    return tmp / f"{os.getpid()}-{os.urandom(4).hex()}-{next(_numbers)}"


def make_folder(folder: Path) -> bool:
    """Make a folder below one that is there or whose parent is, 0700; return whether it was not there.

    Raises:
        OSError: It cannot be made.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return False
    except FileNotFoundError:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Put on disk which names a folder has.

    Raises:
        OSError: The disk does not take them.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore_small(state_dir: Path, contents: Iterable[tuple[str, bytes]]) -> int:
    """Write those small files again that are missing or cut, since nobody had synced them; return how many.

    Args:
        state_dir: The state folder.
        contents: Their digests and bytes, as the ledger has them.
    """
    folder = state_dir / OBJECTS
    written = 0
    for sha256, data in contents:
        path = object_path(folder, sha256)
        with suppress(OSError):
            if path.stat().st_size == len(data) and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                continue
        with suppress(OSError):  # the ledger has the bytes in any case
            _write(folder, path, data)
            written += 1
    return written


def _write(folder: Path, path: Path, data: bytes) -> None:
    part = temporary(folder)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(descriptor)
        make_folder(path.parent)
        part.rename(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
