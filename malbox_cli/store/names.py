"""File names for what is kept on disk."""

import re

__all__ = ["safe_file_name"]

MAX_FILE_NAME = 80


def safe_file_name(name: str, suffix: str = "") -> str:
    """Return a file name for a result's name, which a plugin, and so a sample, may have chosen.

    It has no separators, no leading dot and no more than 80 characters, and ends in `suffix`.
    """
    text = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "result"
    return text.removesuffix(suffix)[: MAX_FILE_NAME - len(suffix)] + suffix
