"""`restage simulate`: writes invented deliveries and the truth behind them."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write to; it can be a home afterwards.")],
    patients: Annotated[int | None, typer.Option(min=1, help="Draw a cohort of this size.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Or: a cohort as CSV, one row a patient …", exists=True)] = None,
    lesions: Annotated[Path | None, typer.Option(help="… and its progressing sites as CSV.", exists=True)] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 1,
    defects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of records to spoil, 0 to 1; truth/defects.csv lists them.")
    ] = 0.0,
) -> None:
    """Write each centre's delivery for an invented or a given cohort, and the truth beside it."""
    from pipelines.simulate.simulate import simulate as write

    made = write(out.resolve(), cohort, lesions, patients, seed, defects=defects)
    print(
        f"{made['patients']} patients, {len(made['centres'])} centres, extracted on {made['extract_date']}: {out}/inbox"
    )
    if defects:
        print(
            f"{made['defects']} defects planted; each stands in {out}/truth/defects.csv with the rule that must find it"
        )
