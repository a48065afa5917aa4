"""What the centres that are already mapped call things: the more of them, the better the guesses."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import study
from pipelines.mapping import Centre
from pipelines.profile.seen import words

QUESTION = re.compile(r"#.*\bquestion (\d+)")  # in a draft, until somebody has answered it


@dataclass
class Vocabulary:
    """Names of staged columns, meanings of codes by code list, texts of flags, texts that mean nothing; FHIR paths."""

    names: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    tables: dict[str, set[str]] = field(default_factory=dict)
    paths: dict[tuple[str, str], str] = field(default_factory=dict)  # resource and path -> column
    beside_codes: str = ""  # a column that nobody knows by name, and that must be the centre's own id

    def code(self, codelist: str, text: str, said: Mapping[str, str]) -> str | None:
        """Our code for a text; `said` are the words for it that the file itself gives, by which it goes alone."""
        word = said.get(text, "" if said else text).casefold()
        codes = self.codes[codelist]
        return codes.get(word, codes.get(word.replace(" ", "_")))


def learn(centres: Iterable[Centre]) -> Vocabulary:
    """Everything that `study/`, `words.yaml` and the mappings of other centres say of names and codes. A draft with
    open questions says nothing: its guesses would come back as knowledge."""
    common = words()
    known = Vocabulary(yes=set(common["yes"]), no=set(common["no"]), missing=set(common["missing"]))
    for table in study.staged_tables():
        for column, about in study.staged_columns(table).items():
            said = {column, (about.cdisc or column).split(".")[-1], *common["columns"].get(column, ())}
            known.names[table, column] = said
            if about.codelist:
                known.codes.setdefault(about.codelist, {c.casefold(): c for c in study.codelist(about.codelist)})
    for centre in (c for c in centres if not open_questions(c.folder / "centre.yaml")):
        known.missing |= set(centre.missing)
        known.tables.setdefault(centre.kind, set()).update(centre.tables)
        for read in (s.read for s in centre.sources.values() if s.read["format"] == "fhir"):
            known.paths |= {(read["resource"], path): column for column, path in read["columns"].items()}
        for table, parts in centre.tables.items():
            for part in parts:
                for f in part.fields:
                    if not f.name.startswith("_"):
                        _learn_field(known, table, f.name, f.columns, f.spec, f.map or {})
    return known


def open_questions(mapping: Path) -> list[int]:
    """The numbers of the questions that a mapping still holds."""
    return sorted({int(n) for n in QUESTION.findall(mapping.read_text(encoding="utf-8"))})


def _learn_field(
    known: Vocabulary, table: str, name: str, columns: Iterable[str], spec: Mapping[str, object],
    given: Mapping[str, str | None],
) -> None:  # fmt: skip
    column = study.staged_columns(table)[name]
    # blocks name their columns by a group, whose first word tells the block
    known.names[table, name] |= {c.split("|")[-1] for c in columns}
    if column.codelist:
        codes = known.codes[column.codelist]
        for text, code in given.items():
            if code is not None:
                codes.setdefault(text.casefold(), code)
    if column.type == "flag":
        for side, texts in (("yes", known.yes), ("no", known.no)):
            said = spec.get(side, ())
            texts |= set(said) if isinstance(said, list) else set()
