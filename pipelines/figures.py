"""The study's figures as SVG and PNG, the same bytes for the same tables."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers
BLUE, ORANGE, GREEN, GREY, RED = "#0072B2", "#E69F00", "#009E73", "#BBBBBB", "#D55E00"
# name, colour, and the ink that can be read on it
RESPONSES = (
    ("CR", GREEN, "white"), ("PR", BLUE, "white"), ("SD", ORANGE, "black"), ("PD", RED, "white"), ("NE", GREY, "black")
)  # fmt: skip
SOFT = "#555555"
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "svg.hashsalt": "restage", "svg.fonttype": "path",
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


def printed(value: float | None, decimals: int) -> str:
    """A number as it is printed: rounded half up, or that it was not reached."""
    from decimal import ROUND_HALF_UP, Decimal

    if value is None:
        return "not reached"
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def _save(figure: "Figure", stem: Path, note: str) -> list[Path]:
    figure.text(0.01, 0.01, note, fontsize=7, color=SOFT)
    # neither a date nor addresses of vocabularies in the bytes
    figure.savefig(stem.with_suffix(".svg"), metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(stem.with_suffix(".png"), dpi=160, metadata={"Software": None})
    return [stem.with_suffix(".svg"), stem.with_suffix(".png")]


def _figure(title: str, height: float, width: float = 7) -> "Figure":
    from matplotlib.figure import Figure  # without pyplot, which would look for a screen

    figure = Figure(figsize=(width, height))
    figure.text(0.01, 1 - 0.1 / height, textwrap.fill(title, 72), va="top", fontsize=11, fontweight="bold")
    return figure


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
    n, n_event, median, lcl, ucl, confidence = con.execute(f"""
        select n, n_event, median_months, median_lcl, median_ucl, confidence_pct
        from reports.pfs_summary cross join study.protocol where paramcd = '{paramcd}'
    """).fetchall()[0]
    times, survival = [0.0, *(r[0] for r in rows)], [1.0, *(r[3] for r in rows)]
    limited = [r for r in rows if r[4] is not None]  # at 0 the curve has no limits
    band = [(0.0, 1.0, 1.0), *((r[0], r[4], r[5]) for r in limited)]
    if len(limited) < len(rows):
        band.append((rows[len(limited)][0], *band[-1][1:]))
    figure = _figure(param, 4.8)
    axes = figure.add_axes((0.1, 0.3, 0.86, 0.58))
    month, lower, upper = zip(*band, strict=True)
    axes.fill_between(month, lower, upper, step="post", color=BLUE, alpha=0.15, lw=0)
    axes.step(times, survival, where="post", color=BLUE, lw=1.8)
    censored = [(r[0], r[3]) for r in rows if r[2]]
    axes.plot([t for t, _ in censored], [s for _, s in censored], "|", color=BLUE, ms=8, mew=1.4)
    if median is not None:
        axes.plot([0, median, median], [0.5, 0.5, 0], ":", color="#333333", lw=1)
        limits = f"{confidence} % CI {printed(lcl, decimals)} to {printed(ucl, decimals)}"
        text = f"median {printed(median, decimals)} months ({limits})"
        axes.annotate(text, (median, 0.5), (6, 5), textcoords="offset points")
    ticks = _ticks(times[-1])
    axes.set(xlim=(0, ticks[-1]), ylim=(0, 1.02), xlabel="Months", ylabel="Progression-free")
    axes.set_xticks(ticks)
    axes.text(1, 0.94, f"{n} patients, {n_event} events", transform=axes.transAxes, ha="right", color=SOFT)
    _at_risk(figure, axes, rows, ticks, n)
    return figure


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
    steps = [row[1:] for row in rows if not row[0].startswith("evaluable")]
    last = [row[1:] for row in rows if row[0].startswith("evaluable")]
    lost = [_lost(n_lost, reason) for _, _, n_lost, reason in steps]
    depths = [0.0]  # of each step in inches, lower where more is said beside the arrow that leads to it
    for text in [*lost[1:], ""]:
        depths.append(depths[-1] + 0.75 + 0.14 * text.count("\n"))
    height = depths[-1] + 1.1
    figure = _figure("Flow of subjects", height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 7), ylim=(-height + 0.65, 0.65))
    axes.axis("off")
    box = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": BLUE, "lw": 1.2}
    for i, (label, n, _, _) in enumerate(steps):
        axes.text(2.3, -depths[i], f"{label}\nn = {n}", ha="center", va="center", bbox=box)
        if i:
            _arrow(axes, (2.3, -depths[i - 1] - 0.25), (2.3, -depths[i] + 0.25))
        if lost[i]:
            middle = -(depths[i - 1] + depths[i]) / 2
            _arrow(axes, (2.3, middle), (3.8, middle))
            axes.text(3.9, middle, lost[i], va="center", color=SOFT, fontsize=8)
    for j, (label, n, _, _) in enumerate(last):
        x = 7 * (j + 0.5) / len(last)
        axes.text(x, -depths[-1], f"{label}\nn = {n}", ha="center", va="center", bbox=box)
        _arrow(axes, (2.3, -depths[-2] - 0.25), (x, -depths[-1] + 0.25))
    return figure


def _arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": BLUE, "shrinkA": 0, "shrinkB": 0})


def _lost(n_lost: int, reasons: str | None) -> str:
    """What stands beside the arrow to a step: how many did not reach it, then `reason: n` in lines that fit."""
    if not n_lost:
        return ""
    lines = [f"Left out: {n_lost}"]
    for reason in (reasons or "").split("; "):
        lines += textwrap.wrap(reason, 56, subsequent_indent="   ")
    return "\n".join(lines)


def _responses(con: "duckdb.DuckDBPyConnection") -> "Figure":
    """Responses of the irradiated sites, a bar an anatomic site, every site counted."""
    rows = con.execute("""
        select a.label, r.n, r.n_cr, r.n_pr, r.n_sd, r.n_pd, r.n_ne
        from reports.response_by_anatomic_site r
        join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order
    """).fetchall()
    figure, axes = _bars("Response after radiotherapy by anatomic site", [f"{r[0]} (n = {r[1]})" for r in rows])
    for j, (name, colour, ink) in enumerate(RESPONSES, 2):
        starts, shares = [100 * sum(r[2:j]) / r[1] for r in rows], [100 * r[j] / r[1] for r in rows]
        axes.barh(range(len(rows)), shares, left=starts, color=colour, label=name, height=0.7)
        for i, (start, share) in enumerate(zip(starts, shares, strict=True)):
            if share >= 3:  # narrower than its number
                axes.text(start + share / 2, i, str(rows[i][j]), ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlim=(0, 100), xlabel="% of irradiated sites")
    _legend(figure)
    return figure


def _toxicity(con: "duckdb.DuckDBPyConnection") -> "Figure":
    """Patients with any grade and with grade 3-4, with exact limits."""
    rows = con.execute("""
        select g.label, t.pct_any, t.pct_any_lcl, t.pct_any_ucl, t.pct_grade34, confidence_pct
        from reports.toxicity t join study.toxicity_row g on g.code = t.toxicity_group cross join study.protocol
        where t.pct_any is not null order by g.list_order
    """).fetchall()
    figure, axes = _bars("Toxicity from the first fraction on, worst grade of each patient", [r[0] for r in rows])
    y, any_grade = range(len(rows)), [r[1] for r in rows]
    spread = [[r[1] - r[2] for r in rows], [r[3] - r[1] for r in rows]]
    axes.barh(y, any_grade, color=BLUE, alpha=0.35, height=0.7, label="any grade")
    axes.barh(y, [r[4] for r in rows], color=RED, height=0.7, label="grade 3-4")
    limits = f"exact {rows[0][5]} % limits of any grade" if rows else None
    axes.errorbar(any_grade, y, xerr=spread, fmt="none", ecolor=SOFT, elinewidth=0.8, capsize=2, label=limits)
    axes.set(xlim=(0, None), xlabel="% of patients")
    _legend(figure)
    return figure


def _bars(title: str, labels: Sequence[str]) -> "tuple[Figure, Axes]":
    """An empty figure with a row per label, from the top, and room for a legend between title and rows."""
    height = 0.36 * len(labels) + 1.5
    figure = _figure(title, height)
    axes = figure.add_axes((0.29, 0.75 / height, 0.67, 1 - 1.4 / height))
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    return figure, axes


def _legend(figure: "Figure") -> None:
    top = 1 - 0.3 / figure.get_figheight()
    figure.legend(loc="upper left", ncols=5, frameon=False, bbox_to_anchor=(0.27, top), fontsize=8)
