"""`restage recist`: RECIST 1.1 over anyone's SDTM-shaped files."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import JsonOption, answering, progress


def recist(
    tumours: Annotated[Path, typer.Option(help="TU: lesions, as CSV, Parquet or XPT.")],
    measurements: Annotated[Path, typer.Option(help="TR: their sizes and states, likewise.")],
    out: Annotated[Path, typer.Option(help="RS: the responses, as CSV.")],
    options: Annotated[Path | None, typer.Option(help="YAML with another reading of contested points.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Derive the RECIST 1.1 responses of each subject and reader, each with its reason.

    Records that cannot be read are listed in OUT.rejected.csv, the rest is assessed. Exit code 2: a file or an option
    cannot be read. See docs/how-to/recist.md.

    Example: restage recist --tumours tu.csv --measurements tr.csv --out rs.csv
    """
    from pipelines.recist.run import run

    with answering(as_json) as answer:
        with progress("Assessing"):
            made = run(tumours, measurements, out, options)
        answer |= {"out": out.resolve(), **made}
        print(f"{made['subjects']} subjects, {made['responses']} responses: {out}")
        if made["rejected"]:
            print(f"{made['rejected']} records could not be read: {out}.rejected.csv")
