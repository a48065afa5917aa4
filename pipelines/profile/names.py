"""Names of columns compared: words without case, accents and units."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache

from pipelines.deliveries.persons import UNITS, tokens, words_of

CLOSE = 0.8  # of two words, one of which may be misspelt or cut short
SAME, SHARED = 1.0, 0.8


def unit_of(name: str) -> str:
    """The unit that a name states, '' if none."""
    return next((UNITS[w] for w in words_of(name) if w in UNITS), "")


def likeness(name: str, known: Iterable[str]) -> float:
    """0 to 1: how near a name comes to the nearest of those known."""
    words = words_of(name)
    # I_TU_DT is TUDT with something before it
    ends = {"".join(words[i:]) for i in range(len(words) - 1)}
    return max((max(_alike(tokens(name), tokens(k)), SHARED * (k.lower() in ends)) for k in known), default=0.0)


@cache
def _alike(a: frozenset[str], b: frozenset[str]) -> float:
    if a == b:
        return SAME
    shared = sum(1 for x in a if any(x == y or SequenceMatcher(None, x, y).ratio() >= CLOSE for y in b))
    return SHARED * shared / max(len(a), len(b)) if shared else 0.0
