"""Every figure of the study, each with the rows that it is drawn from beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import bars, flow, forest, sizes, style, survival, swimmer
from pipelines.figures.style import Rows

if TYPE_CHECKING:
    import duckdb
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """One figure: the name of its files, the query that gives its rows, and the function that draws them."""

    stem: str
    query: str
    draw: Callable[[Rows], "Figure"]


def write_figures(con: "duckdb.DuckDBPyConnection", folder: Path, note: str) -> list[Path]:
    """Write every figure into `folder` as svg and png, its data beside it as csv; `note` stands below each of them.

    Input: the tables of schema reports. Output: `km_<paramcd>`, `waterfall_<series>`, `spider_<series>`, `swimmer`,
    `forest`, `responses`, `toxicity`, `flow`. Equal tables give equal bytes. Source: PROTOCOL, Statistics and figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with style.house_style():
        for drawing in drawings(con):
            rows = rows_of(con, drawing.query)
            written += style.save(drawing.draw(rows), folder / drawing.stem, note)
            written.append(folder / f"{drawing.stem}.csv")
            target = study.sql_literal(str(written[-1]))
            con.execute(f"copy ({drawing.query}) to {target} (format csv, header true)")
    return written


def drawings(con: "duckdb.DuckDBPyConnection") -> Iterator[Drawing]:
    """The figures in the order of the report; endpoints without a subject have none."""
    yield Drawing("flow", "from reports.subject_flow order by step_no", flow.flow)
    confidence = study.protocol()["confidence_pct"]["value"]
    summaries = {row["paramcd"]: row for row in rows_of(con, "from reports.pfs_summary")}
    for endpoint in study.endpoints():
        paramcd = endpoint["paramcd"]
        if paramcd in summaries:
            draw = partial(survival.kaplan_meier, endpoint=endpoint, summary=summaries[paramcd], confidence=confidence)
            query = f"from reports.survival_curve where paramcd = '{paramcd}' order by t_months"
            yield Drawing(f"km_{paramcd.lower()}", query, draw)
    for series in sizes.SERIES:
        chosen = f"where series = '{series}' order by rank_no"
        yield Drawing(
            f"waterfall_{series}", f"from reports.waterfall {chosen}", partial(sizes.waterfall, series=series)
        )
        yield Drawing(f"spider_{series}", f"from reports.spider {chosen}, adt", partial(sizes.spider, series=series))
    yield Drawing("swimmer", "from reports.swimmer order by rank_no, start_months, kind, detail", swimmer.swimmer)
    yield Drawing("forest", "from reports.forest order by row_no", forest.forest)
    by_site = """
        select a.label, r.* from reports.response_by_anatomic_site r
        join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order
    """
    yield Drawing("responses", by_site, bars.responses)
    by_group = """
        select g.label, t.* from reports.toxicity t
        join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
    """
    yield Drawing("toxicity", by_group, bars.toxicity)


def rows_of(con: "duckdb.DuckDBPyConnection", query: str) -> list[dict[str, Any]]:
    """A query's rows by column name."""
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
