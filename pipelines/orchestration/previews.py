"""What people look at in the Dagster UI: the study's tables and curves, and the way to a centre's report.

Only what is counted over patients: no median, no range (its ends are a patient's values), and curves as pixels, in
which no time can be read to the day.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipelines import study
from pipelines.orchestration.settings import load_settings
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

TABLES = {"table1": "Table I", "table2": "Table II", "table3": "Table III"}
WIDE, COLOURS = 1000, 32  # pixels that fit the window of the UI; a curve has few colours


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as a table of Markdown; a bar or a line break in a text stays in its cell."""

    def line(cells: Sequence[Any]) -> str:
        shown = ("" if c is None else " ".join(str(c).split()).replace("|", "\\|") for c in cells)
        return f"| {' | '.join(shown)} |"

    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])


def study_previews(con: "duckdb.DuckDBPyConnection", written: Sequence[Path]) -> dict[str, dg.MetadataValue[Any]]:
    """The curves that are there, in the order of the endpoints, and the counted rows of Tables I to III.

    Input: the tables of schema reports, and the files that were `written`. Output: metadata of the asset by label.
    """
    found: dict[str, dg.MetadataValue[Any]] = {}
    drawn = {path.name: path for path in written}
    for endpoint in study.endpoints():
        if path := drawn.get(f"km_{endpoint['paramcd'].lower()}.png"):
            found[path.stem] = dg.MetadataValue.md(f"![{endpoint['param']}](data:image/png;base64,{_small(path)})")
    for name, title in TABLES.items():
        rows = con.execute(f"""
            select section, label, n, denominator, printf('%.1f', pct) from store.reports.{name}
            where value is null order by row_no
        """).fetchall()
        heads = (title, "", "n", "of", "%")
        found[name] = dg.MetadataValue.md(markdown_table(heads, rows))
    return found


def _small(picture: Path) -> str:
    """A picture as base64, in the size in which it is shown: each run keeps it in Dagster's records."""
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    with Image.open(picture) as image:
        high = round(image.height * WIDE / image.width)
        image.convert("RGB").resize((WIDE, high), Image.Resampling.LANCZOS).quantize(COLOURS).save(out, "png")
    return b64encode(out.getvalue()).decode()


def report_link(home: Home, name: str) -> dg.MetadataValue[Any]:
    """Where a report is: its address if the settings say under which one the reports are served, else its path."""
    base = load_settings(home).reports_url
    if base:
        return dg.MetadataValue.url(f"{base.rstrip('/')}/{name}")
    return dg.MetadataValue.path(str((home.reports / name).resolve()))


def centre_links(home: Home, centres: Sequence[str]) -> Mapping[str, dg.MetadataValue[Any]]:
    """The reports of these centres, by label."""
    return {f"report_{c}": report_link(home, f"centres/{c}/report.html") for c in centres}
