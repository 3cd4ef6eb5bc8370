"""Which plugins somebody means who gives names and patterns."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from malbox_cli.manifest.suggest import did_you_mean

__all__ = ["NoSuchPlugin", "matching"]

WILDCARDS = frozenset("*?[")


class NoSuchPlugin(ValueError):
    """A name or pattern fits no plugin; the text says which ones there are."""


def matching(
    patterns: Iterable[str], plugin_ids: Iterable[str], groups: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the ids that any of the patterns fits, each once, in the order of the ids.

    Args:
        patterns: Ids, names of groups, which mean all in them, or patterns for either, in which ``*`` is anything,
            ``?`` one character and ``[ab]`` one of these two.
        plugin_ids: The plugins that there are, each process of one by itself.
        groups: For the id of one of several processes the name of their plugin; others are absent, or have none.

    Raises:
        NoSuchPlugin: One of the patterns fits none.
    """
    known = {plugin_id: (groups or {}).get(plugin_id) or plugin_id for plugin_id in plugin_ids}
    found = set[str]()
    for pattern in patterns:
        fits = {each for each, group in known.items() if fnmatchcase(each, pattern) or fnmatchcase(group, pattern)}
        if not fits:
            what = "no plugin fits" if WILDCARDS & set(pattern) else "there is no plugin"
            names = list(dict.fromkeys(known.values()))
            meant = did_you_mean(pattern, [*names, *known]) or (f"; there are {', '.join(names)}" if names else "")
            raise NoSuchPlugin(f"{what} {pattern!r}{meant}")
        found |= fits
    return tuple(plugin_id for plugin_id in known if plugin_id in found)
