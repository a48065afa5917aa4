"""What every page is made with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

TEMPLATES = Path(__file__).resolve().parent / "templates"
RULES = """
    select rule_id, any_value(title), any_value(severity), sum(n_checked)::bigint, sum(n_failed)::bigint,
        case when bool_or(status = 'error') then any_value(problem) end
    from validated.rule_counts group by rule_id order by bool_or(status = 'error') desc, sum(n_failed) desc, rule_id
"""
# findings that are open queries: they wait for their centre or for us, as the key figure counts them
OPEN = "severity <> 'note' and state in ('new', 'open', 'answered', 'reopened')"


@contextmanager
def reading(con: "duckdb.DuckDBPyConnection") -> Iterator["duckdb.DuckDBPyConnection"]:
    """Plain names mean the warehouse inside this block."""
    con.execute("use store")
    try:
        yield con
    finally:
        con.execute("use memory")


def rows_of(con: "duckdb.DuckDBPyConnection", query: str) -> list[dict[str, Any]]:
    """A query's rows by column name."""
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def page(template: str, path: Path, **values: Any) -> Path:
    """Write one self-contained page; every value is escaped, and what cannot be seen in it is shown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=_seen
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(template).render(**{"language": "en", **values}), encoding="utf-8")
    return path


def _seen(value: Any) -> Any:
    """A plain text as a person may read it; what is markup already stays."""
    from pipelines.disclosure import readable

    return readable(value) if type(value) is str else value


def note_of(home: Home) -> str:
    """The line that says that the data is invented; deliveries that were simulated have their truth beside them."""
    return "Synthetic cohort: every patient is invented" if (home.root / "truth").is_dir() else ""


def inlined(folder: Path, stem: str = "*") -> dict[str, str]:
    """The figures of a folder by name without their prologues, to stand inside a page."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"{stem}.svg"))}
    return {name: text[text.index("<svg") :] for name, text in texts.items()}
