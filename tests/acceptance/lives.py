"""A study that is run again and again in this process, up to what its queries have become; no reports, no Dagster."""

from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines import touched as lists
from pipelines.centres import load_all
from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.deliveries.timeline import timeline
from pipelines.orchestration import past
from pipelines.orchestration.plan import centre_folders
from pipelines.orchestration.steps import load_steps
from pipelines.orchestration.take_in import take_in
from pipelines.warehouse import Home, open_read

CENTRES = load_all(study.ROOT / "centres")
VERSIONS = dict.fromkeys(CENTRES, "1")
TABLES = (
    "validated.deliveries", "validated.failing", "validated.query_changes", "validated.replies",
    "validated.query_steps", "validated.query_history", "validated.queries", "validated.findings",
    "validated.eligibility",
)  # fmt: skip


def run(home: Home, touched: Collection[str] | None = None) -> None:
    """What `restage run` does up to the layer validated; in full, or for what these centres can have changed."""
    if home.as_of is None:
        intake(home, centre_folders())
    for name, centre in CENTRES.items():
        pending = tuple(d for d in ledger.read(home) if d.centre == name and d.state == "received")
        if pending or touched is None or name in touched:
            done = take_in(home, centre, pending, VERSIONS[name])
            assert not done.rejected, done.rejected
    past.look_back(home, CENTRES, VERSIONS)
    moments = timeline(home, VERSIONS)
    with closing(past.open_study(home, CENTRES)) as con:
        if touched is not None:
            lists.touch(con, sorted(touched))
        past.show(con, home, moments, CENTRES)
        for step in load_steps():
            if step.layer in ("harmonised", "assessed", "validated"):
                step.run(con, touched is not None)
        past.keep(con, home, moments[-1])
        past.prune(home, moments)


def rows(home: Home, query: str) -> list[dict[str, Any]]:
    with closing(open_read(home)) as con:
        cursor = con.execute(query)
        names = [c[0] for c in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def content(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that tells of queries, by content."""
    with closing(open_read(home)) as con:
        return {name: con.execute(f"from {name} order by all").fetchall() for name in TABLES}


def text_table(found: list[dict[str, Any]], columns: Collection[str]) -> list[list[str]]:
    return [["-" if row[c] is None else str(row[c]) for c in columns] for row in found]


def written(table: str) -> list[list[str]]:
    """A text table as its cells, the first line is the head."""
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def answer(home: Home, centre: str, name: str, lines: Collection[tuple[str, ...]]) -> Path:
    """Put a returned list into the inbox: query, reply, comment, name, day of each line."""
    folder = home.inbox / centre / name
    folder.mkdir(parents=True)
    delimiter = CENTRES[centre].queries_delimiter
    head = ("query_id", "site_reply", "site_comment", "replied_by", "replied_on")
    text = "".join(delimiter.join(line) + "\n" for line in [head, *lines])
    (folder / "queries.csv").write_text(text, encoding="utf-8-sig")
    return folder
