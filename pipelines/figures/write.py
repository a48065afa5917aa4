"""Every figure of the study, each with the rows that it is drawn from beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import bars, flow, forest, funnel, incidence, sizes, style, survival, swimmer
from pipelines.figures.style import Rows

if TYPE_CHECKING:
    import duckdb
    from matplotlib.figure import Figure


KINDS = """
    select i.* from reports.cumulative_incidence i
    join study.endpoints e on e.paramcd = i.paramcd and e.role = 'event' and e.description = i.evntdesc
    where i.paramcd = '{paramcd}' order by e.step_rank, i.t_months
"""
GROUPS = """
    with label as ({labels})
    select
        c.*, g.label as grouping_label, coalesce(l.label, upper(c.group_key)) as group_label, s.n, s.counted,
        s.logrank_p
    from reports.survival_curve_by_group c
    join reports.survival_summary s using (paramcd, grouping, group_key)
    join (select distinct grouping, label, group_order from study.survival_groups) g using (grouping)
    left join label l using (grouping, group_key)
    where c.paramcd = '{paramcd}' order by g.group_order, c.group_key, c.t_months
"""


@dataclass(frozen=True)
class Drawing:
    """One figure: the name of its files, the query that gives its rows, and the function that draws them."""

    stem: str
    query: str
    draw: Callable[[Rows], "Figure"]


def write_figures(con: "duckdb.DuckDBPyConnection", folder: Path, note: str) -> list[Path]:
    """Write every figure into `folder` as svg and png, its data beside it as csv; `note` stands below each of them.

    Input: the tables of schema reports. Output: `km_<paramcd>`, `km_<paramcd>_by_group`, `incidence_<paramcd>`,
    `waterfall_<series>`, `spider_<series>`, `swimmer`, `forest`, `responses`, `funnel`, `toxicity`,
    `toxicity_windows`, `flow`. Equal tables give equal bytes. Source: PROTOCOL, Statistics and figures.
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
    yield from _endpoints(con)
    for series in sizes.SERIES:
        chosen = f"where series = '{series}' order by rank_no"
        yield Drawing(
            f"waterfall_{series}", f"from reports.waterfall {chosen}", partial(sizes.waterfall, series=series)
        )
        yield Drawing(
            f"spider_{series}", f"from reports.spider {chosen}, adt, size_mm", partial(sizes.spider, series=series)
        )
    yield Drawing("swimmer", "from reports.swimmer order by rank_no, start_dt, kind, detail, end_dt", swimmer.swimmer)
    yield Drawing("forest", "from reports.forest order by row_no", forest.forest)
    by_site = """
        select a.label, r.* from reports.response_by_anatomic_site r
        join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order
    """
    yield Drawing("responses", by_site, bars.responses)
    against_chance = """
        select m.label, f.* from reports.centre_funnel f
        join study.funnel_measure m on m.code = f.measure
        order by m.list_order, f.centre_kind, f.centre, f.limits_pct
    """
    yield Drawing("funnel", against_chance, funnel.funnel)
    by_group = """
        select g.label, t.* from reports.toxicity t
        join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
    """
    yield Drawing("toxicity", by_group, bars.toxicity)
    by_window = """
        select w.label as window_label, g.label, t.* from reports.toxicity_windows t
        join study.toxicity_window w on w.code = t.analysis_window
        join study.toxicity_row g on g.code = t.term and t.term_level = 'group' order by w.list_order, g.list_order
    """
    yield Drawing("toxicity_windows", by_window, bars.toxicity_windows)


def _endpoints(con: "duckdb.DuckDBPyConnection") -> Iterator[Drawing]:
    """Curves of each endpoint; of competing events the incidence of each, which together are the curve."""
    confidence = study.protocol()["confidence_pct"]["value"]
    summaries = {row["paramcd"]: row for row in rows_of(con, "from reports.survival_summary where grouping = 'all'")}
    grouped = {
        paramcd for (paramcd,) in con.execute("select distinct paramcd from reports.survival_curve_by_group").fetchall()
    }
    for endpoint in study.endpoints():
        paramcd, stem = endpoint["paramcd"], endpoint["paramcd"].lower()
        if paramcd not in summaries:
            continue
        if any("competing" in event for event in endpoint["events"]):
            query = KINDS.format(paramcd=paramcd)
            yield Drawing(f"incidence_{stem}", query, partial(incidence.incidence, endpoint=endpoint))
            continue
        draw = partial(survival.kaplan_meier, endpoint=endpoint, summary=summaries[paramcd], confidence=confidence)
        yield Drawing(f"km_{stem}", f"from reports.survival_curve where paramcd = '{paramcd}' order by t_months", draw)
        if paramcd in grouped:
            query = GROUPS.format(labels=" union all ".join(_labels()), paramcd=paramcd)
            yield Drawing(f"km_{stem}_by_group", query, partial(survival.by_group, endpoint=endpoint))


def _labels() -> Iterator[str]:
    """What the groups are called: by the code list of their column, yes or no, or as they are."""
    columns = {column.name: column for column in study.tables()["derived.adsl"].columns}
    for grouping in study.survival_groups():
        named = f"select '{grouping}' as grouping, code as group_key, label from"
        if codelist := columns[grouping].codelist:
            yield f"{named} study.{codelist}"
        elif columns[grouping].type == "flag":
            yield f"{named} (values ('Y', 'Yes'), ('N', 'No')) v(code, label)"
        else:
            yield f"{named} (values (null, null)) v(code, label)"


def rows_of(con: "duckdb.DuckDBPyConnection", query: str) -> list[dict[str, Any]]:
    """A query's rows by column name."""
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
