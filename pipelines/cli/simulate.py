"""`restage simulate`: writes invented deliveries and the truth behind them."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import JsonOption, answering, progress


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write to; it can be a home afterwards.")],
    patients: Annotated[int | None, typer.Option(min=1, help="Draw a cohort of this size.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Or: a cohort as CSV, one row a patient …", exists=True)] = None,
    lesions: Annotated[Path | None, typer.Option(help="… and its progressing sites as CSV.", exists=True)] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 1,
    defects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of records to spoil, 0 to 1; truth/defects.csv lists them.")
    ] = 0.0,
    csv: Annotated[
        bool, typer.Option("--csv", help="CSV from every centre, as large cohorts are written anyway.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write each centre's delivery for an invented or a given cohort, and the truth beside it.

    Example: restage simulate --patients 500 --seed 7 --defects 0.02 --out invented
    """
    from pipelines.simulate.simulate import simulate as write

    with answering(as_json) as answer:
        with progress("Writing deliveries"):
            made = write(out.resolve(), cohort, lesions, patients, seed, defects=defects, csv=csv)
        answer |= {"out": out.resolve(), **made}
        n = len(made["centres"])
        print(f"{made['patients']} patients, {n} centres, extracted on {made['extract_date']}: {out}/inbox")
        if defects:
            listed = f"{out}/truth/defects.csv"
            print(f"{made['defects']} defects planted; each stands in {listed} with the rule that must find it")
