"""An invented export in a hospital's habits: its files' structure, and values of the same shape, none of them real."""

import csv
import io
import random
import re
import string
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.profile import sample_records
from pipelines.profile.guess import Guess, Match, keys_of
from pipelines.profile.kinds import About, most
from pipelines.profile.seen import Seen, glob_of
from pipelines.profile.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pipelines.profile.draft import Draft

N_SUBJECTS, ROWS_EACH = 4, 3
FIRST_DAY = date(2015, 1, 7)
ISO = "%Y-%m-%d"


@dataclass
class Inventor:
    """Makes the same values for the same centre; a pool of invented ids by what they name, shared between files."""

    centre: str
    known: Vocabulary
    pools: dict[str, list[str]] = field(default_factory=dict)

    def ids(self, name: str, real: Collection[str], n: int) -> list[str]:
        pool = self.pools.setdefault(name, [])
        shape = most([re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", v))) for v in real]) or "AA-000"
        chance = random.Random(f"{self.centre} {name} {len(pool)}")
        for _ in range(n * 100):
            if len(pool) >= n:
                break
            text = "".join(_like(c, chance) for c in shape)
            if text not in real and text not in pool:
                pool.append(text)
        while len(pool) < n:
            pool.append(f"{shape}{len(pool) + 1}")
        return pool


def _like(c: str, chance: random.Random) -> str:
    letters = {"0": string.digits[1:], "A": string.ascii_uppercase, "a": string.ascii_lowercase}
    return chance.choice(letters[c]) if c in letters else c if c.isascii() else "x"


def write(draft: "Draft", folder: Path) -> None:
    """Write each file of the export anew into `folder`; equal input gives equal bytes."""
    folder.mkdir(parents=True)
    inventor = Inventor(draft.centre, draft.known)
    files: dict[str, list[tuple[Seen, list[list[str]], list[About]]]] = {}
    # ids first of the table that holds the study codes
    order = sorted(draft.tables, key=lambda t: all(g.table != "links" for g in t[2]))
    blocks = {seen.source: guesses for seen, _, guesses in draft.tables if seen.unpivot}
    for seen, columns, guesses in order:
        if not seen.unpivot:
            every = [*guesses, *blocks.get(seen.source, ())]
            looks = [_look(seen, a, every) for a in columns]
            files.setdefault(_file(seen), []).append((seen, list(_rows(inventor, seen, looks, every)), looks))
    for name, tables in files.items():
        written = [(seen, rows) for seen, rows, _ in tables]
        match tables[0][0].read["format"]:
            case "csv":
                (folder / name).write_bytes(_text(*written[0]))
            case "odm":
                sample_records.odm(folder, written)
            case "fhir":
                sample_records.fhir(folder / name, written)
            case "dicom":
                subjects = inventor.ids("local_id", tables[0][2][0].values, N_SUBJECTS)[:N_SUBJECTS]
                modalities = [seen.read["modality"] for seen, _ in written]
                sample_records.dicom(folder / name, subjects, modalities)
            case _:
                _workbook(folder / name, tables)


def _file(seen: Seen) -> str:
    """What holds the table in the sample: item groups lie in one file, DICOM files in one folder."""
    return {"odm": "export.xml", "dicom": "DICOM"}.get(seen.read["format"]) or _name(seen)


def _name(seen: Seen) -> str:
    """The file's name without the numbers that may be somebody's: as the glob has it, or as it stands."""
    return seen.globs[0].replace("*", "1") if seen.globs[0] == glob_of(seen.file) else seen.file


def _rows(inventor: Inventor, seen: Seen, columns: Sequence[About], guesses: Sequence[Guess]) -> Iterator[list[str]]:
    """Rows of invented subjects: one each where the table has one row a subject, else a few."""
    single = any(not keys_of(g.table) and not g.several for g in guesses)
    each = 1 if single else min([ROWS_EACH, *(_different(inventor, g) for g in guesses)])
    uses = [_uses(seen, a, guesses) for a in columns]
    uppers = list(dict.fromkeys(name.removesuffix(became) for name, became in seen.origin.items()))
    blocks = [uppers.index(a.name.removesuffix(o)) + 1 if (o := seen.origin.get(a.name)) else 0 for a in columns]
    for i in range(N_SUBJECTS * each):
        yield [
            _cell(inventor, seen, a, u, i // each, i % each, i, block)
            for a, u, block in zip(columns, uses, blocks, strict=True)
        ]


def _uses(seen: Seen, a: About, guesses: Sequence[Guess]) -> list[tuple[Guess, Match]]:
    return [(g, m) for g in guesses for m in g.matches if m.raw.name == seen.origin.get(a.name, a.name)]


def _look(seen: Seen, a: About, guesses: Sequence[Guess]) -> About:
    """What a column looks like: one of a block as all of them do that become one."""
    uses = _uses(seen, a, guesses)
    return replace(uses[0][1].raw, name=a.name) if a.name in seen.origin and uses else a


def _different(inventor: Inventor, g: Guess) -> int:
    """How many records of one subject differ in their key where it is made of codes alone."""
    keys = [m for m in g.matches if m.column.name in keys_of(g.table)]
    if not keys or g.several or not all(m.column.codelist for m in keys):
        return ROWS_EACH
    return max(1, *(len(_texts(inventor, m)) for m in keys))


def _texts(inventor: Inventor, match: Match) -> list[str]:
    """Codes that may be shown: those that other centres have, and those that stand in several rows."""
    raw, codelist = match.raw, match.column.codelist or ""
    return [
        v for v in sorted(raw.values)
        if inventor.known.code(codelist, v, raw.codes) is not None or v in raw.shown or v in raw.codes
    ]  # fmt: skip


def _cell(
    inventor: Inventor,
    seen: Seen,
    a: About,
    uses: Sequence[tuple[Guess, Match]],
    subject: int,
    ordinal: int,
    i: int,
    block: int,
) -> str:
    guess, match = uses[0] if uses else (None, None)
    keys = ["local_id", "usubjid", *keys_of(guess.table)] if guess else []
    is_key = match is not None and match.column.name in keys
    chance = random.Random(f"{inventor.centre} {seen.source} {a.name} {i}")
    if a.kind == "empty" or (not is_key and a.n_filled < 0.7 * len(seen.rows) and ordinal == ROWS_EACH - 1):
        return ""
    if match and match.column.name in ("local_id", "usubjid"):
        return inventor.ids(match.column.name, a.values, N_SUBJECTS)[subject]
    if match and match.column.type == "id":
        alone = guess is not None and is_key and keys_of(guess.table) == [match.column.name] and not guess.several
        return inventor.ids(match.column.name, a.values, N_SUBJECTS * ROWS_EACH)[i if alone else subject]
    if match and match.column.codelist:
        texts = _texts(inventor, match)
        return texts[(ordinal + subject) % len(texts)] if texts else f"code {i % 3 + 1}"
    if match and match.column.type == "flag" and a.shown:
        return a.shown[i % len(a.shown)]
    if a.kind == "date":
        return _day(a, 40 * subject + 7 * ordinal + 60 * block)
    if a.kind == "number":
        return str(ordinal + 1) if is_key and a.whole else _number(a, chance)
    if a.kind in ("code", "flag", "id"):
        return inventor.ids(f"{seen.source} {a.name}", a.values, ROWS_EACH)[i % ROWS_EACH]
    return f"Invented {a.kind} {i + 1}"


def _day(a: About, days: int) -> str:
    """A day that the export does not have, in its first format."""
    for shift in range(400):
        text = (FIRST_DAY + timedelta(days=days + shift * 211)).strftime(a.formats[0])
        if text not in a.values:
            return text
    return ""


def _number(a: About, chance: random.Random) -> str:
    """A number of as many digits; of a few digits all may be real, and then one of them is taken."""
    whole, sign, rest = re.fullmatch(r"[-+]?(\d+)([.,]?)(\d*)", most(_shapes(a))).groups()  # type: ignore[union-attr]
    text = ""
    for _ in range(50):
        low, high = (1930, 1960) if whole == "1999" else (10 ** (len(whole) - 1), 10 ** len(whole) - 1)
        text = (
            f"{chance.randint(low, 3 if high == 9 else high)}{sign}{''.join(chance.choices('123456789', k=len(rest)))}"
        )
        if text not in a.values:
            break
    return text


def _shapes(a: About) -> list[str]:
    years = all(re.fullmatch(r"(19|20)\d\d", v) for v in a.values)
    numbers = [v for v in a.values if re.fullmatch(r"[-+]?\d+([.,]\d+)?", v)]
    return ["1999"] if years else [re.sub(r"\d", "0", v) for v in numbers] or ["0"]


def _text(seen: Seen, rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    for number in range(seen.preamble):
        text.write(f"Invented line {number + 1}{seen.newline}")
    csv.writer(text, delimiter=seen.read["delimiter"], lineterminator=seen.newline).writerows([seen.names, *rows])
    if seen.footer:
        text.write(f"{seen.footer_word}{seen.newline}")
    return text.getvalue().encode(seen.read["encoding"])


def _header(seen: Seen) -> list[list[str]]:
    """The names as they stood: of two rows the upper one is filled where a merged cell begins."""
    if seen.read["header"].get("rows", 1) == 1:
        return [list(seen.names)]
    parts = [name.partition(seen.read["header"]["join"]) for name in seen.names]
    upper = [p[0] if i == 0 or p[0] != parts[i - 1][0] else "" for i, p in enumerate(parts)]
    return [upper, [p[2] for p in parts]]


def _workbook(target: Path, sheets: Sequence[tuple[Seen, list[list[str]], list[About]]]) -> None:
    from datetime import datetime

    import xlsxwriter

    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(target), options) as book:
        book.set_properties({"created": datetime(2015, 1, 1)})
        as_date = book.add_format({"num_format": "yyyy-mm-dd"})
        for seen, rows, columns in sheets:
            sheet = book.add_worksheet(seen.read["sheet"])
            lines = [[f"Invented line {n + 1}"] for n in range(seen.preamble)] + _header(seen)
            for at, line in enumerate(lines):
                for i, text in enumerate(line):
                    sheet.write_string(at, i, text)
            for at, row in enumerate(rows, len(lines)):
                for i, (text, a) in enumerate(zip(row, columns, strict=True)):
                    if a.kind == "date" and a.formats[0] == ISO and text:
                        sheet.write_datetime(at, i, datetime.strptime(text, ISO), as_date)
                    elif a.kind == "number" and text and "," not in text:
                        sheet.write_number(at, i, float(text))
                    elif text:
                        sheet.write_string(at, i, text)
            if seen.footer:
                sheet.write_string(len(lines) + len(rows), 0, seen.footer_word)
