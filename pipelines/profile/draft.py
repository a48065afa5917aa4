"""The first mapping of a new centre as text: what was guessed says why, what is open is a numbered question."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import study
from pipelines.mapping import UNITS
from pipelines.profile.guess import GOOD, Guess, Match, keys_of
from pipelines.profile.kinds import About, most
from pipelines.profile.look import Seen, words
from pipelines.profile.names import unit_of
from pipelines.profile.vocabulary import Vocabulary

PLAIN = re.compile(r"[A-Za-zÀ-ÿ][\w À-ÿ()./%+-]*(?<! )")
WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
SCHEMA = "# yaml-language-server: $schema=../../pipelines/schemas/centre.schema.json"


@dataclass
class Draft:
    """What is known of a new centre while its mapping is written."""

    centre: str
    title: str
    kind: str
    language: str
    tables: list[tuple[Seen, list[About], list[Guess]]]
    known: Vocabulary
    skipped: Sequence[str] = ()
    questions: list[str] = field(default_factory=list)

    def ask(self, question: str) -> str:
        """A question for questions.md; returns the comment that marks its place."""
        self.questions.append(question)
        return f"# question {len(self.questions)}: {question}"

    @property
    def columns(self) -> list[About]:
        return [a for _, columns, _ in self.tables for a in columns]

    @property
    def formats(self) -> list[str]:
        """The most frequent date format first; those of other columns are stated there."""
        first = most([a.formats[0] for a in self.columns if a.formats])
        return list(next((a.formats for a in self.columns if a.formats and a.formats[0] == first), ()))

    @property
    def decimal(self) -> str:
        signs = {a.decimal for a in self.columns if a.decimal}
        return "." if not signs else "either" if len(signs) > 1 else signs.pop()


def q(value: Any) -> str:
    """A YAML scalar."""
    text = str(value)
    plain = PLAIN.fullmatch(text) and text.casefold() not in WORDS and ": " not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """A YAML value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{q(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool | int) else q(value)


def mapping(draft: Draft, kind_why: str, language_why: str) -> str:
    """The text of centre.yaml; fills `draft.questions`."""
    missing = sorted({m for a in draft.columns for m in a.missing})
    lines = [
        SCHEMA,
        "# Made from a sample export by `restage centre new`. `# guess: …` says why; delete it when it is right.",
        "# A comment `# question N` is explained in questions.md; delete it when it is answered.",
        f"centre: {draft.centre}",
        f"title: {q(draft.title)}",
        f"kind: {draft.kind} {kind_why}".rstrip(),
        f"language: {draft.language} {language_why}".rstrip(),
        "contact: data manager of the unit",
        "cadence_days: 90 # guess: nothing in an export tells it",
    ]
    lines += [f"missing: {flow(missing)} # guess: they stand where a value is expected"] if missing else []
    lines += (
        [f'decimal: "{draft.decimal}" # guess: the sign in its numbers']
        if draft.decimal != "either"
        else ["decimal: either # guess: its numbers have both signs"]
    )
    formats = draft.formats or ["%Y-%m-%d"]
    lines += [f"formats: {flow(formats)} # guess: " + ("they read its dates" if draft.formats else "it has no dates")]
    lines += [draft.ask(f"{place} has no row of column names of its own. How is it read?") for place in draft.skipped]
    asked = "Names of files, sheets and columns are written as they stand. Does one of them hold somebody's name or id?"
    lines += ["", draft.ask(f"{asked} Then change it in the export, and profile that."), "sources:"]
    for seen, columns, guesses in draft.tables:
        lines += _source(draft, seen, columns, guesses)
    lines += ["", "tables:"]
    if not any(g.table == "links" for _, _, guesses in draft.tables for g in guesses):
        lines += _no_links(draft)
    by_table = [(g.table, g) for _, _, guesses in draft.tables for g in guesses]
    for table in study.staged_tables():
        parts = [g for name, g in by_table if name == table]
        lines += [f"  {table}:"] if parts else []
        for part in parts:
            lines += _part(draft, part)
    return "\n".join(lines) + "\n"


def _source(draft: Draft, seen: Seen, columns: Sequence[About], guesses: Sequence[Guess]) -> list[str]:
    lines = [
        f"  {seen.source}:",
        f"    files: {flow(seen.globs[0] if len(seen.globs) == 1 else seen.globs)} # guess: numbers in a name change",
    ]
    lines += [f"    # guess: {why}" for why in seen.why]
    lines += ["    read: " + flow(seen.read)]
    full = {c for c in seen.names if seen.rows[c].null_count == 0}
    keys = [
        g_match.raw.name
        for g in guesses
        for c in ["local_id", *keys_of(g.table), *(["usubjid"] if g.table == "links" else [])]
        if (g_match := g.of(c)) and g_match.raw.name in full
    ]
    lines += [f"    key: {flow(list(dict.fromkeys(keys)))} # guess: filled in every row"] if keys else []
    if persons := [a.name for a in columns if a.kind == "person"]:
        asked = draft.ask(
            f"{seen.source}: {', '.join(map(repr, persons))} looks like a direct identifier of a person. It is "
            "never landed. Have it taken out of the export."
        )
        lines += [f"    {asked}", f"    ignore: {flow(persons)} # guess: not to be taken"]
    if seen.footer and seen.footer_word != "-":
        lines += [f"    stop_at: {flow(seen.footer)} # guess: the footer begins there"]
    elif seen.footer:
        lines += [f"    drop_rows: [{{where: {flow(seen.footer)}, reason: footer}}] # guess: the footer's rows"]
    mapped = {m.raw.name for g in guesses for m in g.matches}
    for a in columns:
        if a.name not in mapped and a.kind != "person":
            asked = f"{seen.source}: what is column {a.name!r} ({a.summary})? Map it, or put it under ignore."
            lines.append(f"    {draft.ask(asked)}")
    return lines


def _no_links(draft: Draft) -> list[str]:
    """A mapping without study codes does not load; what stands in their place is asked for first."""
    seen, columns, guesses = draft.tables[0]
    found = next((m for g in guesses if (m := g.of("local_id"))), None)
    raw = found.raw.name if found else next((a.name for a in columns if a.kind != "person"), columns[0].name)
    asked = draft.ask("Which file and column hold the study code (identification log or crosswalk)? None was found.")
    return [
        "  links:", f"    {asked}", f"    - source: {seen.source}", "      fields:",
        f"        local_id: {{from: {q(raw)}}} # guess: {found.why if found else 'the first column'}",
        f"        usubjid: {{from: {q(raw)}}} # guess: only so that the mapping loads",
    ]  # fmt: skip


def _part(draft: Draft, part: Guess) -> list[str]:
    lines = [f"    - source: {part.seen.source}", "      fields:"]
    for match in part.matches:
        lines += [f"        {line}" for line in _field(draft, part, match)]
    if part.several:
        keys = ["local_id", *keys_of(part.table)]
        rest = [m.column.name for m in part.matches if m.column.name not in keys]
        rollup = {"by": keys} | ({"first": rest} if rest else {})
        asked = draft.ask(
            f"{part.seen.source} has several rows for one record of {part.table}. The first is taken: is it right, or "
            "must a column be summed (sum), or the last taken (max)?"
        )
        lines += [f"      {asked}", "      rollup:", f"        - {flow(rollup)} # guess: several rows a record"]
    return lines


def _field(draft: Draft, part: Guess, match: Match) -> list[str]:
    column, raw = match.column, match.raw
    spec: dict[str, Any] = {"from": raw.name}
    above: list[str] = []
    place = f"{part.seen.source}, column {raw.name!r}"
    if match.score < GOOD:
        above.append(draft.ask(f"{place}: is it {part.table}.{column.name} ({column.label})?"))
    if column.type == "date":
        if list(raw.formats) != draft.formats:
            spec["formats"] = list(raw.formats)
        if raw.unsure:
            asked = (
                f"{place}: are dates day first or month first? All of them can be read both ways; day first is taken."
            )
            above.append(draft.ask(asked))
    if column.type == "quantity" and raw.decimal not in ("", draft.decimal) and draft.decimal != "either":
        spec["decimal"] = raw.decimal
    if column.unit in UNITS and column.type == "quantity":
        said = unit_of(raw.name)
        spec["unit"] = said if said in UNITS[column.unit] else column.unit
        if not said:
            above.append(draft.ask(f"{place}: is it in {' or '.join(UNITS[column.unit])}? Its name does not say it."))
    if column.type == "flag":
        spec |= _flag(draft, place, raw, above)
    head = flow(spec)
    if not column.codelist:
        return [*above, f"{column.name}: {head} # guess: {match.why}"]
    return [*above, f"{column.name}: # guess: {match.why}", f"  from: {q(raw.name)}", *_map(draft, place, match)]


def _flag(draft: Draft, place: str, raw: About, above: list[str]) -> dict[str, list[str]]:
    known = draft.known
    sides = {"yes": {t.casefold() for t in known.yes}, "no": {t.casefold() for t in known.no}}
    found = {side: sorted(v for v in raw.shown if v.casefold() in texts) for side, texts in sides.items()}
    if not all(found.values()) or len(raw.values) > sum(map(len, found.values())):
        above.append(draft.ask(f"{place}: which texts mean yes, and which no?"))
    return {side: found[side] or words()[side] for side in found}


def _map(draft: Draft, place: str, match: Match) -> list[str]:
    """One line a code; a code without a meaning is a question and no entry, so that `check` lists it."""
    assert match.column.codelist
    codes, lines, open_ones = draft.known.codes[match.column.codelist], [], []
    for value in sorted(match.raw.values):
        if (code := codes.get(value.casefold())) is not None:
            lines.append(f"    {q(value)}: {q(code)} # guess: it means this elsewhere")
        elif value in match.raw.shown:
            open_ones.append(value)
    rare = sum(1 for v in match.raw.values if v.casefold() not in codes and v not in match.raw.shown)
    of = f"{match.column.codelist} ({', '.join(study.codelist(match.column.codelist))})"
    for value in open_ones:
        lines.append(f"    {draft.ask(f'{place}: which code of {of} is {json.dumps(value, ensure_ascii=False)}?')}")
    if rare:
        asked = f"{place}: {rare} rare values are not shown here. Which codes of {of} are they?"
        lines.append(f"    {draft.ask(asked)}")
    filled = any("# guess" in line for line in lines)
    return ["  map:", *lines] if filled else ["  map: {}", *lines]


def questions(draft: Draft) -> str:
    """The text of questions.md."""
    listed = "\n".join(f"{n}. {text}" for n, text in enumerate(draft.questions, 1)) or "None."
    return (
        f"# Open questions on the export of {draft.centre}\n\n"
        "Answer each in `centre.yaml` where its comment stands, delete the comment, and run "
        f"`restage centre check {draft.centre}`. No value of the export is shown here, codes aside.\n\n{listed}\n"
    )
