"""The verb `transactions`: any sequence of inserts, updates and removals ends in the records that hold."""

from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.mapping import Source
from pipelines.staging_rows import ORIGIN
from pipelines.staging_transactions import transacted
from pipelines.study import sql_literal as lit

COLUMNS = ("subject", "event", "no", "change", "a", "b", "emptied")
SOURCE = Source(
    ("x.csv",), {"format": "csv"}, transactions={"by": ["subject", "event", "no"], "type": "change", "nulls": "emptied"}
)
Row = tuple[str | None, ...]


def told(folder: Path, rows: list[Row], source: Source = SOURCE) -> tuple[list[Row], list[tuple[str, str]]]:
    """The rows that hold (source row, key, values) and the source rows dropped, with the reason."""
    with closing(duckdb.connect()) as con:
        path = folder / "x.parquet"
        cells = ", ".join(f'r[{i}] as "{c}"' for i, c in enumerate(COLUMNS, 1))
        values = ", ".join(f"({n}, [{', '.join('null' if v is None else lit(v) for v in r)}]::varchar[])"
                           for n, r in enumerate(rows, 1))  # fmt: skip
        origin = "'d' as delivery_id, 's' as file_sha256, 'x.csv' as source_file, n::varchar as source_row"
        con.execute(f"copy (select {origin}, {cells} from (values {values}) t(n, r) order by n) to '{path}'")
        query = transacted(con, "x", source, str(path), [*ORIGIN, *COLUMNS], ORIGIN)
        kept = "source_row, subject, event, no, a, b"
        hold = con.execute(f"select {kept} from ({query}) where _why is null order by source_row::int").fetchall()
        dropped = f"select source_row, _why from ({query}) where _why is not null order by source_row::int"
        return hold, con.execute(dropped).fetchall()


def naive(rows: list[Row]) -> tuple[list[Row], list[tuple[str, str]]]:
    """The same, row after row: as a clerk would do it with a card a record."""
    cards: list[tuple[tuple[str | None, ...], list[tuple[int, Row]]]] = []
    dropped: dict[int, str] = {}
    for n, row in enumerate(rows, 1):
        key, change = row[:3], row[3]
        if change == "Remove":
            dropped[n] = "removed_by_the_centre"
            depth = max((i + 1 for i, k in enumerate(key) if k is not None), default=0)
            for card in [c for c in cards if depth and c[0][:depth] == key[:depth]]:
                dropped |= {m: "removed_by_the_centre" for m, _ in card[1]}
                cards.remove(card)
        elif change == "Context":
            dropped[n] = "context_only"
        else:
            same = next((c for c in cards if c[0] == key), None)
            if same is None:
                cards.append((key, [(n, row)]))
            else:
                same[1].append((n, row))
    hold: list[Row] = []
    for key, told_rows in cards:
        if not any(row[3] in ("Update", "Upsert") for _, row in told_rows):
            hold += [(str(n), *key, row[4], row[5]) for n, row in told_rows]
            continue
        a = b = None
        for _, row in told_rows:
            emptied = (row[6] or "").split()
            a = row[4] if row[4] is not None else None if "a" in emptied else a
            b = row[5] if row[5] is not None else None if "b" in emptied else b
        hold.append((str(told_rows[-1][0]), *key, a, b))
        dropped |= {n: "superseded" for n, _ in told_rows[:-1]}
    return sorted(hold, key=lambda r: int(str(r[0]))), [(str(n), why) for n, why in sorted(dropped.items())]


ROW = st.tuples(
    st.sampled_from(["1", "2"]),
    st.sampled_from([None, "e"]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, "Insert", "Insert", "Update", "Upsert", "Remove", "Context"]),
    st.sampled_from([None, "x", "y"]),
    st.sampled_from([None, "z"]),
    st.sampled_from([None, "a", "a b"]),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(ROW, min_size=1, max_size=12))
def test_any_sequence_ends_as_told_one_after_the_other(tmp_path_factory, rows):
    assert told(tmp_path_factory.mktemp("t"), rows) == naive(rows)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ROW, min_size=1, max_size=30))
def test_any_long_sequence_ends_as_told_one_after_the_other(tmp_path_factory, rows):
    assert told(tmp_path_factory.mktemp("t"), rows) == naive(rows)


def test_an_unknown_transaction_is_dropped_with_its_reason(tmp_path):
    rows: list[Row] = [("1", "e", "1", "Insert", "x", None, None), ("1", "e", "1", "Delete", "y", None, None)]
    assert told(tmp_path, rows) == ([("1", "1", "e", "1", "x", None)], [("2", "unknown_transaction")])


def test_rows_without_a_type_column_stay_as_they_are(tmp_path):
    source = Source(("x.csv",), {"format": "csv"}, transactions={"by": ["subject"], "type": "none"})
    rows: list[Row] = [("1", None, None, "Remove", "x", None, None)] * 2
    assert len(told(tmp_path, rows, source)[0]) == 2


def test_an_old_layout_says_its_transactions_in_its_own_names(tmp_path):
    renamed = {"subject": "Patient", "change": "Transaction", "emptied": "Nulls"}
    verb = {"by": ["Patient", "event", "no"], "type": "Transaction", "nulls": "Nulls"}
    rows: list[Row] = [
        ("1", "e", "1", "Insert", "x", "z", None), ("1", "e", "1", "Update", None, None, "b"),
        ("2", "e", "1", None, "x", None, None), ("2", None, None, "Remove", None, None, None),
    ]  # fmt: skip
    found = told(tmp_path, rows, Source(("x.csv",), {"format": "csv"}, transactions=verb, rename=renamed))
    assert found == told(tmp_path, rows)
    assert found[0] == [("2", "1", "e", "1", "x", None)]
