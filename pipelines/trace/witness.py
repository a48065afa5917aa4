"""Which rows a row was made of: found by running its own SQL again over imagined subjects that lack one row each.

A model never knows how much of the cohort it sees, so one run over many copies of a subject, each without one of its
rows, tells which of them the result needs. No lineage is declared anywhere, and none can be out of date.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipelines import models, study
from pipelines.trace.rows import Row, columns_of, literal, of_subjects, row_test, subject_of

if TYPE_CHECKING:
    import duckdb

STRIDE = 1_000_000_000  # numbers of the rows of one table begin here, of the next at twice as much
ROUNDS = 20  # rows that stand in for each other are found one a round


Wanted = Mapping[Row, frozenset[str]]  # the columns whose values are asked for; none: that the row is there at all


def witnesses(con: "duckdb.DuckDBPyConnection", model: models.Model, wanted: Wanted) -> dict[Row, dict[Row, set[str]]]:
    """For each wanted row of one model: the rows it needs, each with the columns of it that matter.

    The rows found are enough to make the wanted row, and none of them can be left out. A row that the SQL does not make
    again from its subject's rows alone is missing from the answer. `con` has `store` and `slice` (`open_trace`).
    """
    if not wanted:
        return {}
    made = _Made(con, model, wanted)
    needed = made.needed()
    columns = made.columns(needed)
    place = made.places({n for rows in needed.values() for n in rows})
    targets = list(wanted)
    return {targets[n]: {place[r]: columns[n, r] for r in sorted(rows)} for n, rows in needed.items()}


class _Made:
    """One model, the rows of the subjects concerned (`own_<i>`), and the rows that are asked for (`wanted`)."""

    def __init__(self, con: "duckdb.DuckDBPyConnection", model: models.Model, wanted: Wanted) -> None:
        self.con, self.model, self.wanted = con, model, wanted
        self.deps = [d for d in model.deps if of_subjects(d)]
        self._copy_wanted()
        con.execute("create or replace table slice.main.kept (alias varchar, row_no bigint, blank varchar)")
        for i, dep in enumerate(self.deps, 1):
            key = ", ".join(f'"{c}"' for c in study.tables()[dep].key)
            con.execute(f"""
                create or replace table slice.main.own_{i} as
                select row_number() over (order by {key}) + {i * STRIDE} as row_no, * from store.{dep}
                where usubjid in (select usubjid from slice.main.wanted)
            """)
            shown = ", ".join(
                "k.alias as usubjid"
                if c == "usubjid"
                else f"""case when k.blank = '{c}' then null else r."{c}" end as "{c}\""""
                for c in columns_of(dep)
            )
            view = f"select {shown} from slice.main.own_{i} r join slice.main.kept k using (row_no)"
            con.execute(f"create or replace view slice.{dep} as {view}")
        for dep in set(model.deps) - set(self.deps):
            con.execute(f"create or replace view slice.{dep} as from store.{dep}")
        rows = " union all ".join(
            f"select row_no, usubjid from slice.main.own_{i}" for i in range(1, len(self.deps) + 1)
        )
        con.execute(
            f"create or replace table slice.main.own as {rows or 'select 0 as row_no, null as usubjid limit 0'}"
        )

    def _copy_wanted(self) -> None:
        table = self.model.full_name
        tests = " ".join(f"when {row_test(table, row.key)} then {n}" for n, row in enumerate(self.wanted))
        watch = " ".join(
            f"when {n} then [{', '.join(literal(c) for c in sorted(columns))}]::varchar[]"
            for n, columns in enumerate(self.wanted.values())
        )
        subjects = ", ".join(sorted({literal(subject_of(row)) for row in self.wanted}))
        self.con.execute(f"""
            create or replace table slice.main.wanted as
            select *, case n {watch} end as watch from (
                select case {tests} end as n, * from store.{table} t where usubjid in ({subjects})
            ) where n is not null
            qualify row_number() over (partition by n) = 1
        """)

    def changed(self, pairs: str) -> set[tuple[int, str]]:
        """Run the model over `kept`; of `pairs`, wanted row and alias, those that lack it or hold another."""
        table = self.model.table
        cast = ", ".join(f'cast("{c.name}" as {c.sql_type}) as "{c.name}"' for c in table.columns)
        self.con.execute("use slice")
        self.con.execute(f"create or replace table slice.main.made as select {cast} from (\n{self.model.sql}\n)")
        self.con.execute("use memory")
        same = [f'm."{c}" is not distinct from w."{c}"' for c in table.key if c != "usubjid"]
        same += [
            f'(not list_contains(w.watch, \'{c.name}\') or m."{c.name}" is not distinct from w."{c.name}")'
            for c in table.columns
            if c.name not in table.key
        ]
        found = self.con.execute(f"""
            with pair as ({pairs}),
            alike as (
                select p.n, p.alias from pair p
                join slice.main.made m on m.usubjid = p.alias
                join slice.main.wanted w on w.n = p.n and {" and ".join(same)}
            )
            select n, alias from pair except select n, alias from alike
        """)
        return {(int(n), alias) for n, alias in found.fetchall()}

    def keep(self, rows: str) -> None:
        self.con.execute(f"delete from slice.main.kept; insert into slice.main.kept {rows}")

    def needed(self) -> dict[int, set[int]]:
        """The rows that each wanted row needs: those it cannot miss, then one of each set that stand in for another."""
        self.keep("""
            select o.usubjid || '~' || x.row_no, o.row_no, null from slice.main.own o
            join (select row_no, usubjid from slice.main.own union select distinct 0, usubjid from slice.main.wanted) x
                on x.usubjid = o.usubjid and x.row_no <> o.row_no
        """)
        lacking = self.changed("""
            select w.n, w.usubjid || '~' || x.row_no as alias from slice.main.wanted w
            join (from slice.main.own union select distinct 0, usubjid from slice.main.wanted) x using (usubjid)
        """)
        rows: dict[int, set[int]] = {
            n: set() for (n,) in self.con.execute("select n from slice.main.wanted").fetchall()
        }
        for n, alias in lacking:
            rows[n].add(int(alias.rsplit("~", 1)[1]))
        rows = {n: found for n, found in rows.items() if 0 not in found}  # as stored only with rows of others
        for _ in range(ROUNDS):
            short = self._short(rows)
            if not short:
                break
            for n, row_no in short.items():
                rows[n].add(row_no)
        return rows

    def _short(self, rows: Mapping[int, Iterable[int]]) -> dict[int, int]:
        """Of wanted rows that their rows do not make yet: the last row of the fewest further ones that they lack."""
        if not rows:
            return {}
        self._have(rows)
        self.keep("select n::varchar, row_no, null from slice.main.have")
        insufficient = {
            n for n, _ in self.changed("select distinct n, n::varchar as alias from slice.main.wanted")
        } & rows.keys()
        if not insufficient:
            return {}
        only = ", ".join(str(n) for n in insufficient)
        self.con.execute(f"""
            create or replace table slice.main.further as
            select w.n, o.row_no, row_number() over (partition by w.n order by o.row_no) as j
            from slice.main.wanted w join slice.main.own o using (usubjid)
            where w.n in ({only}) and (w.n, o.row_no) not in (select (n, row_no) from slice.main.have)
        """)
        self.keep("""
            select f.n || '~' || f.j, g.row_no, null from slice.main.further f
            join slice.main.further g on g.n = f.n and g.j <= f.j
            union all
            select f.n || '~' || f.j, h.row_no, null from slice.main.further f join slice.main.have h on h.n = f.n
        """)
        failing = self.changed("select n, n || '~' || j as alias from slice.main.further")
        found: dict[int, int] = {}
        for n, j, row_no in self.con.execute("select n, j, row_no from slice.main.further order by n, j").fetchall():
            if n not in found and (n, f"{n}~{j}") not in failing:
                found[n] = row_no
        return found

    def _have(self, rows: Mapping[int, Iterable[int]]) -> None:
        listed = ", ".join(f"({n}, {r})" for n, found in rows.items() for r in found) or "(null, null)"
        self.con.execute(f"""
            create or replace table slice.main.have as
            select n::integer as n, row_no::bigint as row_no from (values {listed}) t(n, row_no) where n is not null
        """)

    def columns(self, needed: Mapping[int, Iterable[int]]) -> dict[tuple[int, int], set[str]]:
        """Of each needed row the columns without whose value the wanted row would not be as it is."""
        found: dict[tuple[int, int], set[str]] = defaultdict(set)
        if not needed:
            return found
        self._have(needed)
        blanks = " union all ".join(
            f"select row_no, unnest([{', '.join(tests)}]) as blank from slice.main.own_{i}"
            for i, dep in enumerate(self.deps, 1)
            if (tests := [f"case when \"{c}\" is not null then '{c}' end" for c in _values(dep)])
        )
        if not blanks:
            return found
        self.con.execute(f"""
            create or replace table slice.main.trial as
            select h.n, h.row_no, b.blank, concat_ws('~', h.n, h.row_no, b.blank) as alias
            from slice.main.have h join ({blanks}) b using (row_no) where b.blank is not null
        """)
        self.keep("""
            select t.alias, h.row_no, case when h.row_no = t.row_no then t.blank end
            from slice.main.trial t join slice.main.have h using (n)
        """)
        for n, alias in self.changed("select n, alias from slice.main.trial"):
            _, row_no, column = alias.split("~", 2)
            found[n, int(row_no)].add(column)
        return found

    def places(self, numbers: set[int]) -> dict[int, Row]:
        """The rows by their numbers."""
        found: dict[int, Row] = {}
        for i, dep in enumerate(self.deps, 1):
            mine = [n for n in numbers if n // STRIDE == i]
            if mine:
                key = ", ".join(f'"{c}"::varchar' for c in study.tables()[dep].key)
                rows = f"select row_no, {key} from slice.main.own_{i} where row_no in ({', '.join(map(str, mine))})"
                found |= {number: Row(dep, tuple(k)) for number, *k in self.con.execute(rows).fetchall()}
        return found


def _values(table: str) -> list[str]:
    """Columns that say something: neither the key nor where the row came from."""
    declared = study.tables()[table]
    return [c.name for c in declared.columns if c.name not in {*declared.key, *study.PROVENANCE, "usubjid"}]
