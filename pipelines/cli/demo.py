"""`restage demo`: the reference study from its deliveries to its figures."""

from pathlib import Path

from pipelines import study
from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, answering, home_of, progress
from pipelines.cli.run import bring_up_to_date, finish
from pipelines.warehouse import Home

REFERENCE = study.ROOT / "examples" / "reference_study"
# label, query that gives one row: value and, where there is one, its range or count
HEADLINES = (
    ("Eligible subjects", "select count(*)::varchar, '' from validated.eligibility where status = 'eligible'"),
    *(
        (
            f"{paramcd} median, months (range)",
            "select format('{:#.3g}', median_months), format('{:.0f}-{:.0f}', min_months, max_months) "
            f"from reports.pfs_summary where paramcd = '{paramcd}'",
        )
        for paramcd in ("PFS1", "PFS2", "PFSTOT")
    ),
    (
        "Response after stereotactic radiotherapy, lesions",
        "select format('{:.0f} %', 100.0 * sum(n_cr + n_pr) / sum(n)), format('{} of {}', sum(n_cr + n_pr), sum(n)) "
        "from reports.response_by_anatomic_site",
    ),
)


def demo(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Write the reference study's deliveries into the inbox and run the study.

    Example: restage demo --home study-home
    """
    with answering(as_json) as answer:
        place = home_of(home)
        if not any(place.inbox.glob("*/*")):
            from pipelines.simulate.simulate import simulate

            with progress("Writing deliveries"):
                simulate(place.root, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv")
            print("Wrote the reference study's deliveries (invented patients).")
        code = bring_up_to_date(place, answer=answer)
        answer["figures"] = headlines(place)
        finish(code)


def headlines(home: Home) -> list[dict[str, str]]:
    """Print the five figures that the study is known by, as they stand in the warehouse; returns what it prints."""
    from contextlib import closing

    from rich.console import Console
    from rich.table import Table

    from pipelines.warehouse import open_read

    table = Table(title="Reference study (invented data)", title_justify="left")
    for column in ("figure", "value", ""):
        table.add_column(column, justify="left" if column == "figure" else "right")
    with closing(open_read(home)) as con:
        shown = [(label, *row) for label, query in HEADLINES for row in con.execute(query).fetchall()]
    for row in shown:
        table.add_row(*row)
    Console().print(table)
    for name in ("reports/index.html", "reports/study/report.html", "reports/centres"):
        if (Path(home.root) / name).exists():
            print(f"  {home.root / name}")
    return [{"figure": label, "value": value, "range_or_count": more} for label, value, more in shown]
