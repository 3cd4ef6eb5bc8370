"""Removing a folder in which anybody may have made anything."""

import os
import stat
from contextlib import suppress

__all__ = ["remove_tree"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: str) -> None:
    """Remove a folder with everything in it, as far as it can be, however deep that is and whatever its modes are.

    Symbolic links are removed and not followed, also where somebody puts one in the place of a folder meanwhile.
    Folders in folders are moved to the top one first, so neither a path nor a recursion becomes too long.

    Raises:
        FileNotFoundError: There is none.
    """
    top = _open(folder, None)
    if top is None:
        return
    try:
        number = 0
        while names := _empty(top):
            before = len(names)
            for name in names:
                inner = _open(name, top)
                if inner is None:
                    continue
                try:
                    for deeper in _empty(inner):
                        _open_up(deeper, inner)  # a folder that may not be written cannot be moved
                        number += 1
                        with suppress(OSError):
                            os.rename(deeper, f"{number}.malbox-removes", src_dir_fd=inner, dst_dir_fd=top)
                finally:
                    os.close(inner)
                with suppress(OSError):
                    os.rmdir(name, dir_fd=top)
                    before -= 1
            if before == len(names):
                break  # none of them can be removed
    finally:
        os.close(top)
    with suppress(OSError):
        os.rmdir(folder)


def _empty(folder: int) -> list[str]:
    """Remove what is in an open folder and no folder itself; return the names of those that are."""
    names = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    return names


def _open(name: str, within: int | None) -> int | None:
    """Open a folder; None if it cannot be, or is none.

    Raises:
        FileNotFoundError: It is the topmost one and not there.
    """
    _open_up(name, within)
    try:
        return os.open(name, _FOLDER, dir_fd=within)
    except FileNotFoundError:
        if within is None:
            raise
        return None
    except OSError:
        return None


def _open_up(name: str, within: int | None) -> None:
    """Let its owner do everything with a folder."""
    with suppress(OSError):
        descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
        finally:
            os.close(descriptor)
