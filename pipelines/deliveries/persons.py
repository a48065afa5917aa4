"""Names of columns in words, and those that tell who a patient is."""

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import yaml_schema

UNITS = {"mm": "mm", "cm": "cm", "gy": "Gy", "cgy": "cGy"}
LITTLE = {"i", "di", "del", "della", "of", "the", "n", "no", "nr", "num", "de"}


def names_patient(name: str) -> bool:
    """Whether a column's name says that it holds what names a patient."""
    known = _known()
    return bool(tokens(name) & set(known["person_words"])) or tokens(name) in map(tokens, known["patients"])


@cache
def _known() -> dict[str, Any]:
    return dict(yaml_schema.read(Path(__file__).with_suffix(".yaml")))


@cache
def tokens(name: str) -> frozenset[str]:
    """The words of a name: `PatientId` and `ID_patient` have the same."""
    found = frozenset(words_of(name))
    return found - LITTLE - frozenset(UNITS) or found


def words_of(name: str) -> list[str]:
    """The words of a name in their order, without case and accents."""
    # cGy is one word, although a capital follows a small letter
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("cGy", "cgy"))
    plain = unicodedata.normalize("NFKD", split).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z0-9]+", plain)
