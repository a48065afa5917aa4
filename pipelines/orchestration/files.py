"""The files that people read as assets, made last from the tables of the run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipelines.mapping import Centre
from pipelines.orchestration.columns import asset_key
from pipelines.orchestration.previews import report_link, study_previews
from pipelines.orchestration.session import Study, tell
from pipelines.orchestration.settings import late_after_pct
from pipelines.orchestration.steps import Step
from pipelines.warehouse import SHARE, Home

if TYPE_CHECKING:
    import duckdb

PAGES = {"index": "index.html"}  # the others are called report.html
Results = Iterator[dg.MaterializeResult[Any]]


def centre_files(con: "duckdb.DuckDBPyConnection", home: Home, centre: Centre, may_stay: bool = False) -> list[Path]:
    """Write what a centre is told, and keep it in its outbox. While a rule cannot run, what it asked is not known: the
    centre is told again what it was told last, and its outbox stays as it is."""
    from pipelines.outbox.keep import bring_back, keep
    from pipelines.reports.centre_report import write_centre

    if not con.execute("select 1 from store.validated.rule_counts where status = 'error' limit 1").fetchall():
        paths = write_centre(con, home, centre, may_stay)
        keep(home, centre.name)
        return paths
    return bring_back(home, centre.name) or write_centre(con, home, centre)


def report_assets(steps: list[Step], centres: Mapping[str, Centre], owners: list[str]) -> dg.AssetsDefinition:
    """The files that people read, made from the tables of the run."""
    tables = [
        asset_key(name) for step in steps for name in step.makes if step.layer in ("validated", "derived", "reports")
    ]
    told = {
        "study": "Tables I to III, figures and the comparison with the published ones; stays inside.",
        **{
            f"centres/{name}": f"{centre.title}: what it sent and what is asked of it."
            for name, centre in centres.items()
        },
        "great_expectations": "Suites, validation results and Data Docs, for whoever works with Great Expectations.",
        # last, because it links the others
        "index": "All centres at a glance, with the way to every other report.",
    }
    specs = [
        dg.AssetSpec(
            asset_key(f"files/{name}"),
            deps=tables, group_name="files", description=text, kinds={"html"}, owners=owners,
            tags={"restage/centre_kind": centres[name.removeprefix("centres/")].kind} if "/" in name else {},
        )
        for name, text in told.items()
    ]  # fmt: skip

    @dg.multi_asset(name="files", specs=specs)
    def write_files(study: Study) -> Results:
        from pipelines.reports.index import write_index
        from pipelines.reports.study_report import write_study

        session = study.session
        # what draws and writes takes its share of the memory, too
        session.con.execute(f"set memory_limit = '{SHARE}'")
        for name in told:
            tell(f"files {name}")
            if name == "great_expectations":
                yield dg.MaterializeResult(asset_key(f"files/{name}"), metadata=session.recorded_rules())
                continue
            centre = session.centres.get(name.removeprefix("centres/"))
            if centre:
                paths = centre_files(session.con, session.home, centre, may_stay=session.only_touched)
            elif name == "study":
                paths = write_study(session.con, session.home)
            else:
                paths = write_index(session.con, session.home, late_after_pct(session.home))
            files = [path.relative_to(session.home.root).as_posix() for path in paths]
            facts: dict[str, Any] = {
                "n_files": len(files),
                "files": files,
                "report": report_link(session.home, PAGES.get(name, f"{name}/report.html")),
            }
            if name == "study":
                facts |= study_previews(session.con, paths)
            yield dg.MaterializeResult(asset_key(f"files/{name}"), metadata=facts)
        session.complete()

    return write_files
