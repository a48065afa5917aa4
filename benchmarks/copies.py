"""What no line with these tables can cost less than: raw text read and written, and each table copied as it is.

    python benchmarks/copies.py HOME

Over a finished home; nothing is computed, and each table is written once, as the line writes it.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipelines import warehouse
from pipelines.models import LAYERS
from pipelines.staging import PARQUET
from pipelines.study import sql_literal as lit


@contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.process_time()
    yield
    print(f"  {what:32} {time.process_time() - started:8.1f} s cpu", flush=True)


def copy_all(home: warehouse.Home, scratch: Path) -> None:
    """Copy every Parquet file of a home, then every table of its warehouse, layer by layer."""
    with closing(warehouse.open_write(warehouse.Home(scratch / "home"))) as con:
        for folder in ("landed", "staged"):
            with timed(f"{folder}, read and written"):
                for number, path in enumerate(sorted((home.root / folder).rglob("*.parquet"))):
                    target = lit(str(scratch / f"{number}.parquet"))
                    con.execute(f"copy (from {lit(str(path))}) to {target} {PARQUET}")
        con.execute(f"attach {lit(str(home.database))} as made (read_only)")
        tables = "select schema_name, table_name from duckdb_tables() where database_name = 'made' order by all"
        names = con.execute(tables).fetchall()
        for layer in LAYERS:
            con.execute(f"create schema store.{layer}")
            with timed(f"{layer}, copied"):
                for schema, name in names:
                    if schema == layer:
                        con.execute(f"create table store.{schema}.{name} as from made.{schema}.{name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restage-copies-") as scratch, timed("all"):
        copy_all(warehouse.Home(options.home.resolve()), Path(scratch))


if __name__ == "__main__":
    main()
