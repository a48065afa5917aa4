"""The study's figures as SVG and PNG, the same bytes for the same tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers
BLUE, ORANGE, GREEN, GREY, RED = "#0072B2", "#E69F00", "#009E73", "#999999", "#D55E00"
RESPONSES = (
    ("n_cr", "CR", GREEN),
    ("n_pr", "PR", BLUE),
    ("n_sd", "SD", ORANGE),
    ("n_pd", "PD", RED),
    ("n_ne", "NE", GREY),
)
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "svg.hashsalt": "restage",
    "svg.fonttype": "path",
}  # fmt: skip


def write_figures(con: "duckdb.DuckDBPyConnection", folder: Path, note: str) -> list[Path]:
    """Write every figure into `folder`; `note` stands below each of them.

    Input: the tables of schema reports, months. Output: `km_<paramcd>.svg|png|csv`, `flow`, `responses` and `toxicity`
    as svg and png. Source: PROTOCOL, Statistics and figures.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(cast(Any, STYLE)):
        endpoints = con.execute("""
            select distinct e.paramcd, e.param, e.decimals, e.endpoint_order from study.endpoints e
            join reports.pfs_summary using (paramcd) order by e.endpoint_order
        """).fetchall()
        for paramcd, param, decimals, _ in endpoints:
            written += _save(_kaplan_meier(con, paramcd, param, decimals), folder / f"km_{paramcd.lower()}", note)
            written.append(_write_curve(con, paramcd, folder / f"km_{paramcd.lower()}.csv"))
        written += _save(_flow(con), folder / "flow", note)
        written += _save(_responses(con), folder / "responses", note)
        written += _save(_toxicity(con), folder / "toxicity", note)
    return written


def _save(figure: "Figure", stem: Path, note: str) -> list[Path]:
    figure.text(0.01, 0.01, note, fontsize=7, color="#555555")
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": None})
    return [stem.with_suffix(".svg"), stem.with_suffix(".png")]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # without pyplot, which would look for a screen

    return Figure(figsize=(width, height))


def _write_curve(con: "duckdb.DuckDBPyConnection", paramcd: str, path: Path) -> Path:
    where = path.as_posix().replace("'", "''")
    con.execute(f"""
        copy (select * from reports.survival_curve where paramcd = '{paramcd}' order by t_months)
        to '{where}' (format csv, header true)
    """)
    return path


def _ticks(longest: float) -> list[int]:
    """Whole months, at most ten of them, in steps that people count in."""
    step = next(s for s in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600) if longest / s <= 10)
    return list(range(0, int(longest) + step + 1, step))


def _kaplan_meier(con: "duckdb.DuckDBPyConnection", paramcd: str, param: str, decimals: int) -> "Figure":
    """Curve with log-log limits, ticks at censored times, median, and the numbers at risk below."""
    rows = con.execute(
        f"select t_months, n_at_risk, n_censored, survival, lcl, ucl from reports.survival_curve "
        f"where paramcd = '{paramcd}' order by t_months"
    ).fetchall()
    n, n_event, median, lcl, ucl = con.execute(
        f"select n, n_event, median_months, median_lcl, median_ucl from reports.pfs_summary where paramcd = '{paramcd}'"
    ).fetchall()[0]
    times, survival = [0.0, *(r[0] for r in rows)], [1.0, *(r[3] for r in rows)]
    figure = _figure(7, 4.8)
    axes = figure.add_axes((0.1, 0.3, 0.86, 0.6))
    axes.fill_between(
        times, [1.0, *(r[4] for r in rows)], [1.0, *(r[5] for r in rows)], step="post", color=BLUE, alpha=0.15, lw=0
    )
    axes.step(times, survival, where="post", color=BLUE, lw=1.8)
    censored = [(r[0], r[3]) for r in rows if r[2]]
    axes.plot([t for t, _ in censored], [s for _, s in censored], "|", color=BLUE, ms=8, mew=1.4)
    if median is not None:
        axes.plot([0, median, median], [0.5, 0.5, 0], ":", color="#333333", lw=1)
        limits = f" (95 % CI {_number(lcl)} to {_number(ucl)})"
        axes.annotate(f"median {median:.{decimals}f} months{limits}", (median, 0.5), (6, 5), textcoords="offset points")
    ticks = _ticks(times[-1])
    axes.set(xlim=(0, ticks[-1]), ylim=(0, 1.02), xlabel="Months", ylabel="Progression-free", title=param)
    axes.set_xticks(ticks)
    axes.text(1, 0.94, f"{n} patients, {n_event} events", transform=axes.transAxes, ha="right", color="#555555")
    _at_risk(figure, axes, rows, ticks, n)
    return figure


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.1f}"


def _at_risk(figure: "Figure", axes: "Axes", rows: Sequence[Any], ticks: Sequence[int], n: int) -> None:
    """Numbers at risk, each below its month."""
    left, _, width, _ = axes.get_position().bounds
    figure.text(0.01, 0.155, "At risk", fontweight="bold")
    for tick in ticks:
        at_risk = next((r[1] for r in rows if r[0] >= tick), 0) if tick else n
        figure.text(left + width * tick / ticks[-1], 0.11, str(at_risk), ha="center")


def _flow(con: "duckdb.DuckDBPyConnection") -> "Figure":
    """The flow of subjects: one box a step with what was lost beside it, the endpoints side by side at the end."""
    rows = con.execute("select step, label, n, n_lost, reason from reports.subject_flow order by step_no").fetchall()
    steps = [row for row in rows if not row[0].startswith("evaluable")]
    last = [row for row in rows if row[0].startswith("evaluable")]
    figure = _figure(7, 0.85 * len(steps) + 1.4)
    axes = figure.add_axes((0, 0.05, 1, 0.93))
    axes.set(xlim=(0, 10), ylim=(-len(steps) - 0.6, 0.6))
    axes.axis("off")
    box = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": BLUE, "lw": 1.2}
    arrow = {"arrowstyle": "->", "color": BLUE, "shrinkA": 17, "shrinkB": 17}
    for i, (_, label, n, n_lost, reason) in enumerate(steps):
        axes.text(5, -i, f"{label}\nn = {n}", ha="center", va="center", bbox=box)
        if i:
            axes.annotate("", (5, -i), (5, -i + 1), arrowprops=arrow)
        lost = f"{n_lost} not" + (f"\n{reason.replace('; ', chr(10))}" if reason else "") if n_lost else ""
        axes.text(6.2, -i + 0.5, lost, va="center", color="#555555", fontsize=8)
    for j, (_, label, n, _, _) in enumerate(last):
        x = 10 * (j + 0.5) / len(last)
        axes.text(x, -len(steps), f"{label}\nn = {n}", ha="center", va="center", bbox=box)
        ends = (x, -len(steps) + 0.26), (5, -len(steps) + 0.74)
        axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": BLUE})
    return figure


def _responses(con: "duckdb.DuckDBPyConnection") -> "Figure":
    """Responses of the irradiated sites, a bar an anatomic site, every site counted."""
    rows = con.execute("""
        select a.label, r.n, r.n_cr, r.n_pr, r.n_sd, r.n_pd, r.n_ne
        from reports.response_by_anatomic_site r
        join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order
    """).fetchall()
    figure = _figure(7, 0.36 * len(rows) + 1.5)
    axes = figure.add_axes((0.29, 0.2, 0.67, 0.62))
    for j, (_, name, colour) in enumerate(RESPONSES):
        starts = [100 * sum(r[2 : 2 + j]) / r[1] for r in rows]
        axes.barh(
            range(len(rows)), [100 * r[2 + j] / r[1] for r in rows], left=starts, color=colour, label=name, height=0.7
        )
        for i, r in enumerate(rows):
            if r[2 + j]:
                axes.text(
                    starts[i] + 50 * r[2 + j] / r[1],
                    i,
                    str(r[2 + j]),
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=8,
                )
    axes.set_yticks(range(len(rows)), [f"{r[0]} (n = {r[1]})" for r in rows])
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="% of irradiated sites")
    figure.suptitle(
        "Response after radiotherapy by anatomic site", x=0.01, y=0.98, ha="left", fontweight="bold", fontsize=11
    )
    figure.legend(loc="upper right", ncols=5, frameon=False, bbox_to_anchor=(0.98, 0.93), fontsize=8)
    return figure


def _toxicity(con: "duckdb.DuckDBPyConnection") -> "Figure":
    """Patients with any grade and with grade 3-4, with exact limits."""
    rows = con.execute("""
        select g.label, t.pct_any, t.pct_any_lcl, t.pct_any_ucl, t.pct_grade34, t.n_any, t.n_grade34
        from reports.toxicity t join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
    """).fetchall()
    figure = _figure(7, 0.36 * len(rows) + 1.4)
    axes = figure.add_axes((0.22, 0.2, 0.74, 0.66))
    y = range(len(rows))
    values = [r[1] or 0 for r in rows]
    spread = [
        [v - (r[2] or 0) for v, r in zip(values, rows, strict=True)],
        [(r[3] or 0) - v for v, r in zip(values, rows, strict=True)],
    ]
    axes.barh(y, values, color=BLUE, alpha=0.35, height=0.7, label="any grade, 95 % limits")
    axes.errorbar(values, y, xerr=spread, fmt="none", ecolor="#555555", elinewidth=0.8, capsize=2)
    axes.barh(y, [r[4] or 0 for r in rows], color=RED, height=0.7, label="grade 3-4")
    axes.set_yticks(y, [r[0] for r in rows])
    axes.invert_yaxis()
    axes.set(xlabel="% of patients", title="Toxicity from the first fraction on, worst grade of each patient")
    axes.legend(frameon=False, loc="lower right")
    return figure
