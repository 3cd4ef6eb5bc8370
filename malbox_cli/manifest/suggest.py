"""Which word was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

# difflib's own default: two letters changed in a short word still count, another word does not.
_CUTOFF = 0.6
# Comparing costs the product of both lengths, and nobody mistypes a word this long.
_LONGEST = 100
_SHORTEST_PREFIX = 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known word that is closest to `word`, or nothing if none is close.

    Upper and lower case count as the same letter. The answer begins with a space, ready to be appended.
    """
    if len(word) > _LONGEST:
        return ""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = get_close_matches(word.casefold(), by_folded, n=1, cutoff=_CUTOFF)
    # A word cut short or written out (`env`, `environment`) is further away for difflib than it is for a person.
    matches += [folded for folded in by_folded if _begins(word.casefold(), folded) or _begins(folded, word.casefold())]
    return f" (did you mean '{by_folded[matches[0]]}'?)" if matches else ""


def _begins(long: str, short: str) -> bool:
    return len(short) >= _SHORTEST_PREFIX and long.startswith(short)
