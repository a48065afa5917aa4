"""The first mapping of a new centre as text: what was guessed says why, what is open is a numbered question."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines import study
from pipelines.mapping import UNITS
from pipelines.profile.beside import beside, looked_up, news
from pipelines.profile.draft import Draft, flow, q
from pipelines.profile.draft_sources import source
from pipelines.profile.guess import GOOD, Guess, Match, keys_of
from pipelines.profile.kinds import About
from pipelines.profile.names import unit_of
from pipelines.profile.seen import words

SCHEMA = "# yaml-language-server: $schema=../../pipelines/schemas/centre.schema.json"


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
    for seen, columns, _ in draft.tables:
        if not seen.unpivot:
            of_it = [g for other, _, many in draft.tables if other.source == seen.source for g in many]
            lines += source(draft, seen, columns, of_it)
    lines += ["", "tables:"]
    if not any(g.table == "links" for _, _, guesses in draft.tables for g in guesses):
        lines += _no_links(draft)
    by_table = [(g.table, g) for _, _, guesses in draft.tables for g in guesses]
    for table in study.staged_tables():
        parts = [g for name, g in by_table if name == table]
        stated = [part for seen, _, _ in draft.tables for part in seen.recipe.get(table, ())]
        lines += [f"  {table}:"] if parts or stated else []
        for part, others in beside(parts):
            lines += _part(draft, part, others)
        for recipe in stated:
            lines += _stated(recipe)
    return "\n".join(lines) + "\n"


def _stated(part: Mapping[str, Any]) -> list[str]:
    """A part that the format itself explains."""
    lines = [f"    - source: {part['source']} # guess: as the format has it"]
    for word, value in part.items():
        if word == "fields":
            lines += ["      fields:", *(f"        {name}: {flow(spec)}" for name, spec in value.items())]
        elif word != "source":
            lines.append(f"      {word}: {flow(value)}")
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


def _part(draft: Draft, part: Guess, others: Sequence[Guess]) -> list[str]:
    lines = [f"    - source: {part.seen.source}"]
    if others:
        lines += [f"      lookup: {flow([looked_up(part, o) for o in others])} # guess: they name the same records"]
    if part.seen.unpivot:
        lines += [f"      unpivot: {flow(part.seen.unpivot)} # guess: the same names stand below each of several"]
    lines += ["      fields:"]
    for match in part.matches:
        lines += [f"        {line}" for line in _field(draft, part, match)]
    for other in others:
        for match in news(part, other):
            lines += [f"        {line}" for line in _field(draft, other, match)]
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
    place = f"{part.seen.source}, column {raw.called}"
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
        if raw.name in part.seen.units:
            spec["unit_from"] = part.seen.units[raw.name]
        else:
            spec["unit"] = said if said in UNITS[column.unit] else column.unit
        if not said and "unit" in spec:
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
    given = sorted({*raw.shown, *raw.codes})
    found = {side: [v for v in given if raw.codes.get(v, v).casefold() in texts] for side, texts in sides.items()}
    if not all(found.values()) or len(raw.values) > sum(map(len, found.values())):
        above.append(draft.ask(f"{place}: which texts mean yes, and which no?"))
    return {side: found[side] or words()[side] for side in found}


def _map(draft: Draft, place: str, match: Match) -> list[str]:
    """One line a code; a code without a meaning is a question and no entry, so that `check` lists it."""
    assert match.column.codelist
    raw, codelist = match.raw, match.column.codelist
    lines, open_ones, rare = [], [], 0
    for value in sorted({*raw.values, *raw.codes}):
        if (code := draft.known.code(codelist, value, raw.codes)) is not None:
            why = "the file says so" if value in raw.codes else "it means this elsewhere"
            lines.append(f"    {q(value)}: {q(code)} # guess: {why}")
        elif value in raw.shown or value in raw.codes:
            open_ones.append(value)
        else:
            rare += 1
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
