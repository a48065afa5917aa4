"""Names of columns compared: words without case, accents and units."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache

UNITS = {"mm": "mm", "cm": "cm", "gy": "Gy", "cgy": "cGy"}
CLOSE = 0.8  # of two words, one of which may be misspelt or cut short
SAME, SHARED = 1.0, 0.8
LITTLE = {"i", "di", "del", "della", "of", "the", "n", "no", "nr", "num", "de"}


@cache
def tokens(name: str) -> frozenset[str]:
    """The words of a name: `PatientId` and `ID_patient` have the same."""
    found = frozenset(_words(name))
    return found - LITTLE - frozenset(UNITS) or found


def unit_of(name: str) -> str:
    """The unit that a name states, '' if none."""
    return next((UNITS[w] for w in _words(name) if w in UNITS), "")


def _words(name: str) -> list[str]:
    # cGy is one word, although a capital follows a small letter
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("cGy", "cgy"))
    plain = unicodedata.normalize("NFKD", split).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z0-9]+", plain)


def likeness(name: str, known: Iterable[str]) -> float:
    """0 to 1: how near a name comes to the nearest of those known."""
    words = _words(name)
    # I_TU_DT is TUDT with something before it
    ends = {"".join(words[i:]) for i in range(len(words) - 1)}
    return max((max(_alike(tokens(name), tokens(k)), SHARED * (k.lower() in ends)) for k in known), default=0.0)


@cache
def _alike(a: frozenset[str], b: frozenset[str]) -> float:
    if a == b:
        return SAME
    shared = sum(1 for x in a if any(x == y or SequenceMatcher(None, x, y).ratio() >= CLOSE for y in b))
    return SHARED * shared / max(len(a), len(b)) if shared else 0.0
