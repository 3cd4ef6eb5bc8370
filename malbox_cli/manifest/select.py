"""Which plugins somebody means who gives names and patterns."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from malbox_cli.manifest.suggest import did_you_mean

__all__ = ["NoSuchPlugin", "matching"]

WILDCARDS = frozenset("*?[")


class NoSuchPlugin(ValueError):
    """A name or pattern fits no plugin; the text says which ones there are."""


def matching(patterns: Iterable[str], plugin_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids that any of the patterns fits, each once, in the order of the ids.

    Args:
        patterns: Ids, or patterns in which ``*`` is anything, ``?`` one character and ``[ab]`` one of these two.
        plugin_ids: The plugins that there are.

    Raises:
        NoSuchPlugin: One of the patterns fits none.
    """
    known = list(plugin_ids)
    found = set[str]()
    for pattern in patterns:
        fits = {plugin_id for plugin_id in known if fnmatchcase(plugin_id, pattern)}
        if not fits:
            what = "no plugin fits" if WILDCARDS & set(pattern) else "there is no plugin"
            meant = did_you_mean(pattern, known) or (f"; there are {', '.join(known)}" if known else "")
            raise NoSuchPlugin(f"{what} {pattern!r}{meant}")
        found |= fits
    return tuple(plugin_id for plugin_id in known if plugin_id in found)
