"""Which staged tables a sample export fills, and from which of its columns: guesses, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines import study
from pipelines.profile.kinds import STUDY_CODE, About
from pipelines.profile.names import likeness
from pipelines.profile.seen import Seen
from pipelines.profile.vocabulary import Vocabulary

GOOD, FAIR = 0.75, 0.5
KINDS = {
    "date": {"date"}, "int": {"number"}, "count": {"number"}, "quantity": {"number"},
    "number": {"number"}, "code": {"code", "flag", "text", "id", "number"}, "flag": {"flag", "code", "number"},
    "id": {"id", "code", "number", "text"}, "text": {"code", "flag", "text", "id", "number"},
}  # fmt: skip


@dataclass(frozen=True)
class Match:
    """A raw column for a staged one; `score` from 0 to 1, `why` in words."""

    column: study.Column
    raw: About
    score: float
    why: str


@dataclass(frozen=True)
class Guess:
    """One source's share of one staged table; `several` where its rows are more than one a record."""

    table: str
    seen: Seen
    matches: tuple[Match, ...]
    several: bool

    @property
    def score(self) -> float:
        return sum(m.score for m in self.matches if m.column.name != "local_id")

    def of(self, column: str) -> Match | None:
        return next((m for m in self.matches if m.column.name == column), None)


def keys_of(table: str) -> list[str]:
    """The key of a staged table within one subject of one centre."""
    return [c for c in study.staged_tables()[table].key if c not in ("usubjid", *study.PROVENANCE)]


def own_id(seen: Sequence[Seen], columns: Sequence[Sequence[About]], known: Vocabulary) -> str:
    """The column of ids beside the study codes that names a row and stands in the most tables; '' where a name says
    which one it is, or none does. A whole number may be one, too, whose name says nothing else."""
    names = known.names["links", "local_id"]
    others = {name for (_, column), said in known.names.items() if column != "local_id" for name in said}
    found: dict[str, tuple[bool, int]] = {}
    for s, many in zip(seen, columns, strict=True):
        if any(_coded(a) for a in many):
            if any(likeness(text, names) >= FAIR for a in many for text in (a.name, a.label) if text):
                return ""
            for a in (a for a in many if not _coded(a) and _unique(s, [a.name])):
                number = a.kind == "number" and a.whole and likeness(a.name, others) < GOOD
                if a.kind == "id" or number:
                    found[a.name] = (a.kind == "id", sum(a.name == b.name for each in columns for b in each))
    return max(found, key=lambda name: found[name], default="")


def guess(seen: Seen, columns: Sequence[About], known: Vocabulary, tables: Sequence[str]) -> list[Guess]:
    """The staged tables that one table of the export fills, best first; each must bring columns of its own."""
    chosen: list[Guess] = []
    used: set[str] = set()
    left = [g for t in tables if (g := _table(seen, columns, known, t))]
    while left:
        best = max(left, key=lambda g: (_news(g, used), g.table))
        if _news(best, used) < GOOD:
            break
        chosen.append(best)
        used |= {m.raw.name for m in best.matches}
        left = [g for g in left if g is not best]
    return chosen


def _news(g: Guess, used: set[str]) -> float:
    """How much a table brings that no better one has: its good matches, less where much of it stays empty."""
    fresh = [m.score for m in g.matches if m.raw.name not in used and m.column.name != "local_id" and m.score >= FAIR]
    share = len(g.matches) / (len(study.staged_columns(g.table)) - len(study.PROVENANCE))
    return sum(fresh) * min(1.0, 0.5 + share)


def _table(seen: Seen, columns: Sequence[About], known: Vocabulary, table: str) -> Guess | None:
    """The best one-to-one match of a staged table's columns; None where its subject or a part of its key is not met."""
    wanted = {
        c.name: c
        for c in study.staged_columns(table).values()
        if c.name not in study.PROVENANCE and (c.name != "usubjid" or table == "links")
    }
    usable = [a for a in columns if a.kind not in ("person", "empty")]
    pairs = [m for c in wanted.values() for a in usable if (m := _match(table, c, a, known)).score >= FAIR]
    pairs.sort(key=lambda m: -m.score)
    taken: dict[str, Match] = {}
    for m in pairs:
        if m.column.name not in taken and m.raw.name not in {t.raw.name for t in taken.values()}:
            taken[m.column.name] = m
    for name, c in wanted.items():
        # a text as sent beside its reading comes from the same cells
        if name.endswith("_txt") and (base := taken.get(name.removesuffix("_txt"))):
            taken[name] = Match(c, base.raw, base.score, "the same cells as sent")
    needed = ["local_id", *keys_of(table), *(["usubjid"] if table == "links" else [])]
    if not all(n in taken for n in needed):
        return None
    several = table != "links" and not _unique(seen, [taken[n].raw.name for n in ["local_id", *keys_of(table)]])
    return Guess(table, seen, tuple(taken[n] for n in wanted if n in taken), several)


def _unique(seen: Seen, names: Sequence[str]) -> bool:
    """Whether these columns name a row, among the rows that fill them."""
    cells = (seen.rows if seen.records is None else seen.records).select(list(dict.fromkeys(names))).drop_null()
    return len(cells.group_by(cells.column_names).aggregate([])) == len(cells)


def _match(table: str, column: study.Column, raw: About, known: Vocabulary) -> Match:
    names = known.names[table, column.name]
    named = max(likeness(raw.name, names), likeness(raw.label, names) if raw.label else 0.0)
    if column.name == "usubjid":
        coded = _coded(raw)
        return Match(
            column, raw, 1.0 if coded else named * 0.9, "its values look like study codes" if coded else _said(named)
        )
    if column.name == "local_id" and raw.name == known.beside_codes:
        return Match(column, raw, 1.0, "it stands beside the study codes")
    if raw.kind not in KINDS[column.type] or _coded(raw):
        return Match(column, raw, 0.0, "")
    if column.type in ("int", "count") and not raw.whole:
        return Match(column, raw, 0.0, "")
    if column.codelist:
        share = _known_share(raw, known, column.codelist)
        # 1, 2 and 3 are codes of many lists, where the file itself does not say what they mean
        if share and (raw.kind != "number" or raw.codes or named >= FAIR):
            return Match(
                column, raw, max(0.4 * named + 0.6 * share, 0.7 * named, 0.7 * share * (raw.kind != "number")),
                f"{_said(named)}; {share:.0%} of its values are known codes",
            )  # fmt: skip
        return Match(column, raw, named * (0.75 if raw.kind in ("code", "flag") else 0.5), _said(named))
    if column.type == "flag" and raw.kind != "flag":
        return Match(column, raw, named * 0.7, _said(named))
    return Match(column, raw, named, _said(named))


def _coded(raw: About) -> bool:
    return all(STUDY_CODE.fullmatch(v) for v in raw.values)


def _known_share(raw: About, known: Vocabulary, codelist: str) -> float:
    total = sum(raw.values.values())
    meant = sum(n for v, n in raw.values.items() if known.code(codelist, v, raw.codes) is not None)
    return meant / total if total else 0.0


def _said(named: float) -> str:
    return "so named elsewhere" if named == 1 else f"a like name ({named:.0%})" if named else "its name says nothing"
