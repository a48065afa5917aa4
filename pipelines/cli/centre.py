"""`restage centre`: a new centre's mapping from a sample export, and what a mapping leaves open."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import JsonOption, answering

if TYPE_CHECKING:
    from pipelines.profile.check import Checked

app = typer.Typer(no_args_is_help=True, help="Add a centre: a first mapping from its export, and what is left open.")
CENTRES = Path("centres")
IntoOption = Annotated[Path, typer.Option("--into", help="Folder of the centres.")]


@app.command()
def new(
    centre: Annotated[str, typer.Argument(metavar="ID", help="Its name: lower-case letters and digits.")],
    files: Annotated[list[Path], typer.Option("--from", help="A sample export: a file (repeat it) or a folder.")],
    kind: Annotated[str, typer.Option(help="oncology or radiotherapy; guessed if not told.")] = "",
    language: Annotated[str, typer.Option(help="Of its report: en or it; guessed if not told.")] = "",
    title: Annotated[str, typer.Option(help="The unit in words, for reports.")] = "",
    into: IntoOption = CENTRES,
    as_json: JsonOption = False,
) -> None:
    """Write a first mapping, the questions that it leaves and an invented sample, from a sample export.

    Files are text tables, workbooks, ODM-XML, FHIR (NDJSON) or DICOM plans and records. No value of the export is
    written, codes aside. Exit code 2: the name is no good or taken, or a file cannot be read.

    Examples:
      restage centre new on7 --from export.xlsx --kind oncology --title "Oncology, Northern Hospital"
      restage centre new rt7 --from dicom_folder --from crosswalk.csv
    """
    from pipelines import study
    from pipelines.centres import load_all
    from pipelines.errors import UsageError
    from pipelines.profile.new import new as make

    with answering(as_json) as answer:
        for value, known in ((kind, ("oncology", "radiotherapy")), (language, ("en", "it"))):
            if value and value not in known:
                raise UsageError(f"{value!r}: one of {', '.join(known)} is expected.")
        others = load_all(study.ROOT / "centres") | (load_all(into) if into.is_dir() else {})
        made = make(centre, files, into, others, kind, language, title)
        answer |= asdict(made)
        print(f"{made.folder}: {made.n_mapped} of {made.n_columns} columns mapped, from {made.n_files} files.")
        print(f"{made.n_questions} questions are open: read questions.md, edit centre.yaml, then")
        print(f"  restage centre check {centre}" + ("" if into == CENTRES else f" --into {into}"))


@app.command()
def sample(
    centre: Annotated[str, typer.Argument(metavar="ID", help="The centre: a folder below --into.")],
    files: Annotated[list[Path], typer.Option("--from", help="The sample export: a file (repeat it) or a folder.")],
    into: IntoOption = CENTRES,
    as_json: JsonOption = False,
) -> None:
    """Invent a centre's sample again when its mapping is finished, so that it holds the codes that this names.

    No value of the export is written, codes aside. Exit code 2: no such centre, questions are open, or a file cannot be
    read.

    Examples:
      restage centre sample on7 --from export.xlsx
    """
    from pipelines import study
    from pipelines.centres import load_all
    from pipelines.profile.new import sample_anew

    with answering(as_json) as answer:
        known = load_all(study.ROOT / "centres") | (load_all(into) if into.is_dir() else {})
        answer |= {"sample": str(sample_anew(centre, files, into, known))}
        print(f"{answer['sample']}: invented anew. Then")
        print(f"  restage centre check {centre} --write-expected" + ("" if into == CENTRES else f" --into {into}"))


@app.command()
def check(
    centre: Annotated[str, typer.Argument(metavar="ID", help="The centre: a folder below --into.")],
    files: Annotated[
        Path | None, typer.Option(help="One delivery, a folder or a file, in place of the centre's sample.")
    ] = None,
    write_expected: Annotated[
        bool, typer.Option("--write-expected", help="Write what the sample becomes into the centre's expected/.")
    ] = False,
    as_json: JsonOption = False,
    into: IntoOption = CENTRES,
) -> None:
    """Try a centre's mapping on its sample, or on other files, and list what is left open.

    Nothing is kept. Exit code 0: everything is mapped, and equals expected/ where that is there; 1: something is open.

    Examples:
      restage centre check on7
      restage centre check on7 --files inbox/on7/2026-11-25_export --json
    """
    from pipelines.centres import load
    from pipelines.errors import UsageError
    from pipelines.orchestration.take_in import stop_rules
    from pipelines.profile.check import check as run_check

    folder = (into / centre).resolve()
    with answering(as_json) as answer:
        if not (folder / "centre.yaml").is_file():
            raise UsageError(
                f"{into / centre}: no centre.yaml here. `restage centre new {centre} --from FILES` writes one."
            )
        if write_expected and files:
            raise UsageError("--write-expected goes by the centre's own sample: put the files there, without --files.")
        found = run_check(load(folder), files.resolve() if files else folder / "sample", stop_rules, write_expected)
        answer |= asdict(found) | {"open_ends": found.open_ends}
        if not as_json:
            _show(found)
        if found.open_ends:
            raise typer.Exit(1)


def _show(found: "Checked") -> None:
    _table("Files", ("source", "file", "rows"), [(s, f, str(n)) for s, f, n in found.sources])
    filled = [
        (t, str(rows), ", ".join(f"{c} {n}" for c, n in columns.items() if n))
        for t, (rows, columns) in found.tables.items()
    ]
    _table("Staged", ("table", "rows", "filled"), filled)
    empty = [(t, ", ".join(columns)) for t, columns in found.not_filled.items() if t in found.tables]
    empty += [(t, "the whole table") for t in found.not_filled if t not in found.tables]
    _table("Not filled by this centre", ("table", "columns"), empty)
    _table("Files that no source reads", ("file",), [(name,) for name in found.unread])
    asked = [(t, f, r, str(n)) for t, f, r, n in found.agreed]
    _table("Asked as expected", ("table", "field", "rule", "rows"), asked)
    if found.open_ends:
        print(f"{found.centre}: {len(found.open_ends)} open")
        for line in found.open_ends:
            print(f"  - {line}")
    else:
        asked_for = sum(n for *_, n in found.agreed)
        but = f"; {asked_for} rows are asked about, as expected/findings.csv says" if asked_for else ""
        print(f"{found.centre}: everything is mapped" + (", as expected" if found.compared else "") + but)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, plain lines elsewhere."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(*names, title=title, title_justify="left")
        for row in rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    print(title)
    for row in rows:
        print("  " + "  ".join(row))
