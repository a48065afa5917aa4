"""A new centre's folder from a sample export: centre.yaml, questions.md and an invented sample."""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipelines import centres, warehouse
from pipelines.deliveries.persons import tokens
from pipelines.errors import UsageError
from pipelines.mapping import Centre
from pipelines.profile import sample
from pipelines.profile.beside import without_repeats
from pipelines.profile.draft import Draft
from pipelines.profile.draft_text import mapping, questions
from pipelines.profile.guess import Guess, guess, own_id
from pipelines.profile.kinds import About, about
from pipelines.profile.seen import Seen, glob_of
from pipelines.profile.tables import look_all
from pipelines.profile.vocabulary import Vocabulary, learn, open_questions

NAME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class Made:
    """The folder written, and how much of the export was understood."""

    folder: Path
    n_files: int
    n_columns: int
    n_mapped: int
    n_questions: int


def new(
    centre: str, files: Sequence[Path], into: Path, others: Mapping[str, Centre], kind: str = "", language: str = "",
    title: str = "",
) -> Made:  # fmt: skip
    """Profile a sample export and write `<into>/<centre>/`; `others` are the mapped centres to learn from.

    No value of the export is written, but codes that other centres have, or that stand in several rows of a column of
    codes. Raises `UsageError` for a name that is no good, a folder that exists, and files that cannot be read.
    """
    if not NAME.fullmatch(centre):
        raise UsageError(f"{centre!r}: a centre's name is lower-case letters and digits, a letter first (as in on7).")
    folder = into / centre
    if folder.exists():
        raise UsageError(f"{folder}: this centre exists. Edit its centre.yaml, or take another name.")
    draft, why = _profiled(centre, files, others, kind, language, title)
    text = mapping(draft, why, "" if language else "# guess: the words of its headers")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=into) as scratch:
        made = Path(scratch) / centre
        made.mkdir()
        (made / "centre.yaml").write_text(text, encoding="utf-8")
        (made / "questions.md").write_text(questions(draft), encoding="utf-8")
        sample.write(draft, made / "sample")
        centres.load(made)  # what is written must load, whatever was guessed
        made.rename(folder)
    mapped = sum(len({m.raw.name for g in many for m in g.matches}) for _, _, many in draft.tables)
    mapped += sum(len(s.names) for s, _, _ in draft.tables if s.recipe)
    n_columns = sum(len(columns) for _, columns, _ in draft.tables)
    return Made(folder, len({s.file for s, _, _ in draft.tables}), n_columns, mapped, len(draft.questions))


def sample_anew(centre: str, files: Sequence[Path], into: Path, others: Mapping[str, Centre]) -> Path:
    """Invent the sample of a centre again, by its finished mapping: the first one was made before anybody knew its
    codes. Returns the folder; `others` hold the centre itself. Raises `UsageError` while its questions are open."""
    folder = into / centre
    if centre not in others or not folder.is_dir():
        raise UsageError(f"{folder}: no such centre. Make it with: restage centre new {centre} --from FILES")
    if open_questions(folder / "centre.yaml"):
        raise UsageError(f"{folder}/centre.yaml: answer its questions first; the sample is invented by its words.")
    draft, _ = _profiled(centre, files, others, others[centre].kind, others[centre].language, "")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=into) as scratch:
        sample.write(draft, Path(scratch) / "sample")
        if (folder / "sample").exists():
            (folder / "sample").rename(Path(scratch) / "before")
        (Path(scratch) / "sample").rename(folder / "sample")
    return folder / "sample"


def _profiled(
    centre: str, files: Sequence[Path], others: Mapping[str, Centre], kind: str, language: str, title: str
) -> tuple[Draft, str]:
    """What is guessed of an export, and why it is of that kind of unit."""
    known = learn(others.values())
    looked, skipped = look_all(_files(files), known)
    seen = _globs(_merged(looked))
    with closing(warehouse.memory()) as con:
        columns = [about(con, s, known.missing, known.yes | known.no) for s in seen]
    known.beside_codes = own_id(seen, columns, known)
    kind, why, guesses = _kind(seen, columns, known, kind)
    tables = list(zip(seen, columns, guesses, strict=True))
    spoken = language or _language(seen, others.values())
    return Draft(centre, title or f"Unit {centre}", kind, spoken, tables, known, skipped), why


def _files(paths: Sequence[Path]) -> list[Path]:
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder.")
    found = [p for path in paths for p in ([path] if path.is_file() else sorted(path.rglob("*"))) if p.is_file()]
    found = [p for p in found if p.name != "manifest.yaml" and not p.name.startswith(".")]
    if not found:
        raise UsageError("No files to profile: name a sample export's files, or its folder, with --from.")
    return found


def _merged(seen: Sequence[Seen]) -> list[Seen]:
    """Files of one layout are one source; each source has a name of its own."""
    found: dict[tuple[str, tuple[str, ...]], Seen] = {}
    for s in seen:
        same = str(s.read), s.names
        if first := found.get(same):
            rows = pa.concat_tables([first.rows, s.rows], promote_options="default")
            globs = list(dict.fromkeys([*first.globs, *s.globs]))
            found[same] = replace(first, rows=rows, globs=globs)
        else:
            found[same] = s
    names: dict[str, int] = {}
    called: dict[str, str] = {}
    for same, s in found.items():
        if not s.unpivot:
            names[s.source] = names.get(s.source, 0) + 1
            called[same[0]] = s.source if names[s.source] == 1 else f"{s.source}_{names[s.source]}"
        # blocks that become rows are those of the source before them
        found[same] = replace(s, source=called[same[0]])
    return list(found.values())


def _globs(seen: Sequence[Seen]) -> list[Seen]:
    """Two text files of different layouts whose names differ in numbers alone are told apart by their whole names."""
    texts = [s for s in seen if s.read["format"] == "csv"]
    clash = {g for s in texts for g in s.globs if sum(g in other.globs for other in texts) > 1}
    return [replace(s, globs=[s.file]) if s in texts and {glob_of(s.file)} & clash else s for s in seen]


def _kind(
    seen: Sequence[Seen], columns: Sequence[list[About]], known: Vocabulary, asked: str
) -> tuple[str, str, list[list[Guess]]]:
    """The kind of unit whose tables the export fills best, unless it is told."""
    kinds = [asked] if asked else ["oncology", "radiotherapy"]
    found = {k: _guesses(seen, columns, known, k) for k in kinds}
    # only a unit of radiotherapy sends tables that a format of radiotherapy explains
    kinds = ["radiotherapy"] if not asked and any(s.recipe for s in seen) else kinds
    best = max(kinds, key=lambda k: sum(g.score for many in found[k] for g in many))
    return best, "" if asked else "# guess: its tables fit such a unit best", without_repeats(found[best])


def _guesses(seen: Sequence[Seen], columns: Sequence[list[About]], known: Vocabulary, kind: str) -> list[list[Guess]]:
    """What each table of the export fills; blocks that become rows fill others than the source without them."""
    found: list[list[Guess]] = []
    for s, c in zip(seen, columns, strict=True):
        taken = {g.table for g in found[-1]} if s.unpivot else set()
        found.append([] if s.recipe else guess(s, c, known, sorted(known.tables.get(kind, set()) - taken)))
    return found


def _language(seen: Sequence[Seen], others: Iterable[Centre]) -> str:
    """The language of the centres whose words the headers share most."""
    headers = {w for s in seen for name in s.names for w in tokens(name)}
    said: dict[str, set[str]] = {"en": set(), "it": set()}
    for centre in others:
        names = (c for parts in centre.tables.values() for p in parts for f in p.fields for c in f.columns)
        said[centre.language] |= {w for name in names for w in tokens(name)}
    both = said["en"] & said["it"]
    return max(said, key=lambda language: len(headers & (said[language] - both)))
