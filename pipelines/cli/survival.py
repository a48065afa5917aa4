"""`restage survival`: medians, curves at chosen times and comparisons from anyone's ADTTE."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import JsonOption, answering, progress

if TYPE_CHECKING:
    import pandas as pd


def survival(
    adtte: Annotated[Path, typer.Option(help="ADTTE-shaped file: CSV, Parquet or XPT with PARAMCD, AVAL, CNSR.")],
    out: Annotated[Path, typer.Option(help="CSV to write; beside it <out>.rejected.csv.")],
    by: Annotated[str | None, typer.Option(help="Column whose groups are compared (log-rank).")] = None,
    times: Annotated[
        str | None,
        typer.Option(help="Times at which the curves are read, in AVAL's unit: 6,12,24. Else the protocol's."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Column that says which event it was (EVNTDESC): writes <out>.incidence.csv too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a row per PARAMCD and group: n, events, median with limits, range, follow-up, the curve at chosen times.

    CNSR 0 is an event, anything above is censored. Rows that cannot be used go to <out>.rejected.csv with the reason.
    Exit code 2: the file or one of its columns is not there.

    Example: restage survival --adtte adtte.csv --by ARM --times 6,12,24 --out survival.csv
    """
    from pipelines import warehouse
    from pipelines.readers.standard import hold_writable, read_standard
    from pipelines.survival.adtte import figures

    with answering(as_json) as answer:
        refused, incidence = Path(f"{out}.rejected.csv"), Path(f"{out}.incidence.csv")
        hold_writable([out, refused, *([incidence] if kind else [])], [adtte])
        chosen = _times(times)
        read = read_standard(adtte, ["PARAMCD", "AVAL", "CNSR", *(c for c in (by, kind) if c)], ["AVALU", "USUBJID"])
        with progress("Estimating"):
            con = warehouse.memory()
            con.register("adtte", read.rows)
            found = figures(con, by, chosen, kind)
        rejected = sorted((*read.rejected, *found.rejected), key=lambda row: int(row[0]))
        _write(out, found.summary)
        if found.incidence is not None:
            _write(incidence, found.incidence)
        _write(refused, rows=[(adtte.name, *row) for row in rejected], names=("source_file", "source_row", "reason"))
        answer |= {
            "out": out.resolve(), "rows": len(found.summary), "records": found.n_rows + len(read.rejected),
            "rejected": len(rejected), "notes": list(found.notes),
        }  # fmt: skip
        for note in found.notes:
            print(note, file=sys.stderr)
        print(f"{out}: {len(found.summary)} rows, from {found.n_rows + len(read.rejected)} of {adtte.name}")
        if rejected:
            print(f"{refused}: {len(rejected)} rows that cannot be used, each with the reason")


def _times(text: str | None) -> list[float]:
    """`6,12,24` as numbers in order; raises `UsageError`."""
    from math import isfinite

    from pipelines.errors import UsageError

    try:
        found = sorted({float(part) for part in (text or "").split(",") if part.strip()})
    except ValueError:
        found = [-1.0]
    if any(t < 0 or not isfinite(t) for t in found) or (text is not None and not found):
        raise UsageError(f"--times {text}: numbers from 0 on, separated by commas, are expected.")
    return found


def _write(
    path: Path, frame: "pd.DataFrame | None" = None, rows: Sequence[Sequence[str]] = (), names: Sequence[str] = ()
) -> None:
    """A table as CSV; numbers as they are, an empty cell for what is not reached or not estimable."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(names)) if frame is None else frame
    table.to_csv(path, index=False, lineterminator="\n")
