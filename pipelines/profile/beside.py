"""FHIR resources that tell different things of the same records (what was prescribed, what was given): one part."""

from collections.abc import Sequence
from typing import Any

from pipelines.profile.guess import Guess, Match, keys_of

ENOUGH = 0.5  # share of the records of one that the other must name


def beside(parts: Sequence[Guess]) -> list[tuple[Guess, list[Guess]]]:
    """Each part of a table with those that can be looked up beside its rows; the fullest comes first."""
    found: list[tuple[Guess, list[Guess]]] = []
    for part in sorted(parts, key=lambda g: -len(g.matches)):
        held = next((others for first, others in found if _same_records(first, part, others)), None)
        if held is None:
            found.append((part, []))
        else:
            held.append(part)
    return found


def without_repeats(guesses: Sequence[list[Guess]]) -> list[list[Guess]]:
    """The guesses without those that tell nothing new of records which another resource tells more of."""
    every = sorted((g for many in guesses for g in many), key=lambda g: -len(g.matches))
    kept: list[Guess] = []
    for g in every:
        if not any(k.table == g.table and not news(k, g) and _are_same(k, g) for k in kept):
            kept.append(g)
    return [[g for g in many if any(g is k for k in kept)] for many in guesses]


def news(part: Guess, other: Guess) -> list[Match]:
    """What the other one alone tells."""
    return [m for m in other.matches if part.of(m.column.name) is None]


def looked_up(part: Guess, other: Guess) -> dict[str, Any]:
    """The other one as a lookup of the mapping language."""
    on = dict(zip(_key(part), _key(other), strict=True))
    return {"source": other.seen.source, "on": on, "take": _taken(part, other)}


def _taken(part: Guess, other: Guess) -> list[str]:
    raw = [m.raw.name for m in news(part, other)]
    return list(dict.fromkeys(c for name in raw for c in (name, other.seen.units.get(name)) if c))


def _key(g: Guess) -> list[str]:
    return [m.raw.name for c in ["local_id", *keys_of(g.table)] if (m := g.of(c))]


def _same_records(part: Guess, other: Guess, others: Sequence[Guess]) -> bool:
    taken = _taken(part, other)
    before = {c for o in others for c in _taken(part, o)} | set(part.seen.rows.column_names)
    return bool(taken) and not before & set(taken) and _are_same(part, other)


def _are_same(part: Guess, other: Guess) -> bool:
    """Whether two kinds of resources are about the same records, one each."""
    if any(g.seen.read["format"] != "fhir" or g.several or not keys_of(g.table) for g in (part, other)):
        return False
    mine, theirs = (set(zip(*(g.seen.rows[c].to_pylist() for c in _key(g)), strict=True)) for g in (part, other))
    return len(mine & theirs) >= ENOUGH * len(theirs)
