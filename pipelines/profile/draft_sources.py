"""The sources of a first mapping as text: files, how they are read, and what is open about their columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.profile.draft import Draft, flow, q
from pipelines.profile.guess import Guess, keys_of
from pipelines.profile.kinds import About
from pipelines.profile.seen import Seen


def source(draft: Draft, seen: Seen, columns: Sequence[About], guesses: Sequence[Guess]) -> list[str]:
    """The lines of one source; `guesses` are all that read it."""
    files = flow(seen.globs[0] if len(seen.globs) == 1 else seen.globs)
    kept = "numbers in it change" if "*" in files else "it stays the same"
    lines = [f"  {seen.source}:", f"    files: {files} # guess: {kept}"]
    lines += [f"    # guess: {why}" for why in seen.why]
    persons = [a.name for a in columns if a.kind == "person"]
    mapped = {m.raw.name for g in guesses for m in g.matches}
    mapped |= {name for name, became in seen.origin.items() if became in mapped}
    # what is no column of the mapping is not read at all, and nobody asks for a value that is always the same
    alike = [a.name for a in columns if a.name not in mapped and len(a.values) < 2]
    left_out = [*persons, *alike] if seen.read["format"] == "fhir" else []
    left_out += [unit for column, unit in seen.units.items() if column in left_out]
    how = dict(seen.read)
    if "columns" in how:
        how["columns"] = {c: path for c, path in how["columns"].items() if c not in left_out}
    lines += _read(how)
    given = {e.word: e for e in seen.extra}
    full = {c for c in seen.names if seen.rows[c].null_count == 0}
    keys = [
        g_match.raw.name
        for g in guesses
        if not g.seen.unpivot
        for c in ["local_id", *keys_of(g.table), *(["usubjid"] if g.table == "links" else [])]
        if (g_match := g.of(c)) and g_match.raw.name in full
    ]
    if keys and "key" not in given:
        lines += [f"    key: {flow(list(dict.fromkeys(keys)))} # guess: filled in every row"]
    ignored = [*given["ignore"].value] if "ignore" in given else []
    if named := [*persons, *seen.not_read]:
        asked = draft.ask(
            f"{seen.source}: {', '.join(map(repr, named))} looks like a direct identifier of a person. It is "
            "never landed. Have it taken out of the export."
        )
        lines += [f"    {asked}"]
        ignored += [name for name in persons if name not in left_out]
    why = given["ignore"].why if "ignore" in given else "not to be taken"
    lines += [f"    ignore: {flow(ignored)} # guess: {why}"] if ignored else []
    lines += [f"    {e.word}: {flow(e.value)} # guess: {e.why}" for e in seen.extra if e.word != "ignore"]
    return [*lines, *_footer(seen), *_open(draft, seen, [a for a in columns if a.name not in (*mapped, *left_out)])]


def _footer(seen: Seen) -> list[str]:
    rows = [{"where": seen.totals, "reason": "total_row"}] if seen.totals else []
    lines = []
    if seen.footer and seen.footer_word == "-":
        rows.append({"where": seen.footer, "reason": "footer"})
    elif seen.footer:
        lines = [f"    stop_at: {flow(seen.footer)} # guess: the footer begins there"]
    return [*lines, f"    drop_rows: {flow(rows)} # guess: rows of the footer, and totals"] if rows else lines


def _open(draft: Draft, seen: Seen, left: Sequence[About]) -> list[str]:
    """What is asked about a source: columns that no table reads, and what a format of plans does not tell."""
    if seen.recipe:
        asked = [f"{seen.source}: does each plan stand for one course? Which file tells its technique? DICOM does not."]
    elif seen.read["format"] == "dicom":
        asked = [f"No plans came with the {seen.source}. How is the dose of a session known?"]
    else:
        asked = [
            f"{seen.source}: what is column {a.called} ({a.summary})? Map it, or put it under ignore."
            for a in left
            if a.kind != "person"
        ]
    return [f"    {draft.ask(text)}" for text in asked]


def _read(how: Mapping[str, Any]) -> list[str]:
    """How a file is read, on one line; paths to values have one each."""
    if "columns" not in how:
        return ["    read: " + flow(how)]
    head = [f"      {word}: {flow(value)}" for word, value in how.items() if word != "columns"]
    return ["    read:", *head, "      columns:", *(f"        {q(c)}: {q(p)}" for c, p in how["columns"].items())]
