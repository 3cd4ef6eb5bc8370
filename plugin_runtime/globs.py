"""Patterns for the paths of files, as plugin.toml has them."""

import re
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["matcher"]


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches in full the paths, with ``/`` between their parts, that one of the patterns means.

    ``*`` stands for any characters of one part, ``?`` for one of them, ``[a-z]`` and ``[!a-z]`` for one of a set,
    ``**`` for any number of parts. A pattern without ``/`` is held against the last part alone, wherever that is.
    """
    return re.compile("|".join(map(_regex, patterns)) or r"(?!)", re.DOTALL)


def _regex(pattern: str) -> str:
    text = pattern.removeprefix("./").lstrip("/")
    if "/" not in text:
        text = f"**/{text}"
    regex, at = "", 0
    while at < len(text):
        piece, at = _piece(text, at)
        regex += piece
    return f"(?:{regex})"


def _piece(text: str, at: int) -> tuple[str, int]:
    """Return a piece of the regular expression, and where the next one begins in the pattern."""
    if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
        return "(?:[^/]+/)*", at + 3
    if text.startswith("**", at):
        return ".*", at + 2
    end = text.find("]", at + 2)
    if text[at] == "[" and end > 0 and "/" not in text[at:end]:
        inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", text[at + 1 : end].removeprefix("!"))
        one_of = f"(?!/)[{'^' if text[at + 1] == '!' else ''}{inside}]"
        with suppress(re.error):  # a range such as [z-a] is none
            re.compile(one_of)
            return one_of, end + 1
    return {"*": "[^/]*", "?": "[^/]"}.get(text[at], re.escape(text[at])), at + 1
