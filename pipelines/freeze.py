"""Database lock: after sign-off the deliveries, the code, the protocol, all tables and the study's reports are kept
under one name and one hash, which a publication can cite, and from which anybody can derive them again."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.deliveries import acceptances, ledger, search
from pipelines.errors import RestageError, UsageError
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home, memory, open_read

if TYPE_CHECKING:
    import duckdb

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
LAYERS = ("harmonised", "assessed", "validated", "derived", "reports")
ABOUT = "freeze.json"
NOT_CLOSED = "severity <> 'note' and state <> 'accepted'"


def freeze(home: Home, name: str, by: str, reason: str, code: str) -> dict[str, Any]:
    """Keep the study as it is now under `frozen/<name>/`; returns what `freeze.json` says.

    The caller sees to it that nothing is pending. `code` is the version of the code that made the tables. The tables
    lie there as Parquet, the study's own reports beside them (not those of the centres, which hold its local ids).
    Raises `UsageError` for a name that is taken or cannot be a folder.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r}: a name of letters, digits, dots and dashes is expected, such as primary-2026.")
    target, draft = home.frozen / name, home.frozen / f".{name}.part"
    if target.exists():
        raise UsageError(f"{name} is frozen already, and stays as it is. Take another name.")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "tables").mkdir(parents=True)
    try:
        with closing(open_read(home)) as con:
            for table in tables_of(con):
                con.execute(f"copy (from {table} order by all) to {lit(str(draft / 'tables' / f'{table}.parquet'))}")
            asked = con.execute(f"select count(*) from validated.findings where {NOT_CLOSED}").fetchall()[0][0]
        shutil.copytree(home.reports / "study", draft / "reports")
        about = {
            "name": name, "by": by, "reason": reason, "frozen": ledger.now(), "code": code,
            "protocol": study.protocol_version(), "queries_not_closed": asked, "amended": [],
            "deliveries": {d.delivery_id: {"centre": d.centre, "state": d.state} for d in ledger.read(home)},
        }  # fmt: skip
        about = _write(draft, about)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return about


def read(home: Home, name: str) -> dict[str, Any]:
    """What `freeze.json` says; raises `UsageError` where nothing has this name."""
    path = home.frozen / name / ABOUT
    if not path.parent.is_dir() or not name:
        known = ", ".join(frozen(home)) or "nothing yet"
        raise UsageError(f"Nothing is frozen as {name!r} here. There is: {known}.")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError) as error:
        raise _damaged(path, home) from error


def _damaged(path: Path, home: Home) -> RestageError:
    """What cannot be read may name a subject who withdraws, so that nothing goes on without it."""
    where = path.relative_to(home.root).as_posix()
    name = path.relative_to(home.frozen).parts[0]
    return RestageError(f"{where} is missing or damaged. Put it back from a backup, or remove frozen/{name}.")


def frozen(home: Home) -> list[str]:
    return sorted(path.name for path in home.frozen.glob("[!.]*") if path.is_dir())


def verify(home: Home, name: str, make: Callable[[Home, str], None]) -> tuple[list[str], int]:
    """Derive a frozen state again from the archive; returns what differs in words (nothing: all equal) and the number
    of tables that were compared.

    `make` runs the line over a scratch home under a version of the protocol. The deliveries that came later, and what
    was answered or accepted later, are not in it.
    """
    about, folder = read(home, name), home.frozen / name
    stated = {k: about[k] for k in ("tables", "reports")}
    now = {"tables": _tables(folder, "damaged"), "reports": _reports(folder)}
    wrong = [f"{part}: {n} is not as it was frozen" for part in stated for n in _differing(stated[part], now[part])]
    if about["hash"] != _hash(about):
        wrong.append(f"{ABOUT} itself was changed")
    if wrong:
        return wrong, len(stated["tables"])
    scratch = Home(home.frozen / f".{name}.verifying")
    shutil.rmtree(scratch.root, ignore_errors=True)
    try:
        _as_it_was(home, about, scratch)
        make(scratch, about["protocol"])
        with closing(open_read(scratch)) as con:
            found = {table: content(con, table) for table in tables_of(con)}
    finally:
        shutil.rmtree(scratch.root, ignore_errors=True)
    return [f"{table}: derived anew it differs" for table in _differing(about["tables"], found)], len(found)


def take_out(home: Home, codes: Collection[str], ids: Mapping[str, Collection[str]] | None = None) -> list[str]:
    """Who is known by these study codes, and in a centre by these ids of its own, has withdrawn: rows leave every
    frozen table, files that name one go; returns the states concerned.

    The hash changes; `amended` keeps the old one. Counts that were frozen with the subject stay.
    """
    import duckdb

    concerned, own = [], ids or {}
    words = [w.encode() for w in {*codes, *(i for those in own.values() for i in those if len(i) >= search.TELLING)}]
    for name in frozen(home) if codes or own else ():
        folder, about, touched = home.frozen / name, read(home, name), False
        for path in sorted((folder / "tables").glob("*.parquet")):
            try:
                touched |= _without(path, codes, own)
            except duckdb.Error as error:
                raise _damaged(path, home) from error
        for path in [p for p in (folder / "reports").rglob("*") if p.is_file()]:
            if any(re.search(rb"(?<![\w-])" + re.escape(w) + rb"(?![\w-])", path.read_bytes()) for w in words):
                path.unlink()
                touched = True
        if touched:
            about["amended"].append({"when": ledger.now(), "why": "a subject withdrew consent", "was": about["hash"]})
            _write(folder, about)
            concerned.append(name)
    return concerned


def _without(path: Path, codes: Collection[str], ids: Mapping[str, Collection[str]]) -> bool:
    """Take the rows that hold a study code, or an own id of their centre, out of a frozen table; returns whether there
    were any. An id is looked for where nobody's code stands: elsewhere the same text is a grade, a lesion or a line."""
    with closing(memory()) as con:
        texts = [c for c, t in _columns(con, path) if t == "VARCHAR"]
        said = [_holds(texts, codes)]
        if {"centre", "usubjid"} <= set(texts):
            told = [c for c in texts if not c.endswith("source_row")]
            said += [f"usubjid is null and centre = {lit(c)} and ({_holds(told, mine)})" for c, mine in ids.items()]
        test = " or ".join(f"({part})" for part in said)
        here = f"from read_parquet({lit(str(path))})"
        if not con.execute(f"select count(*) {here} where {test}").fetchall()[0][0]:
            return False
        draft = path.with_suffix(".part")
        con.execute(f"copy ({here} where ({test}) is not true) to {lit(str(draft))} (format parquet)")
        draft.replace(path)
    return True


def _holds(columns: Collection[str], words: Collection[str]) -> str:
    known = ", ".join(lit(w) for w in sorted(words))
    return " or ".join(f"list_has_any(string_split(\"{c}\", '|'), [{known}]::varchar[])" for c in columns) or "false"


def tables_of(con: "duckdb.DuckDBPyConnection") -> list[str]:
    rows = con.execute("select schema_name || '.' || table_name from duckdb_tables() where not temporary order by all")
    return [t for (t,) in rows.fetchall() if t.split(".")[0] in LAYERS]


def content(con: "duckdb.DuckDBPyConnection", source: str) -> str:
    """Rows and a digest of a table's content, whatever the order of its rows."""
    # 52 bits of each digest, so that their sum is exact for as many rows as a study can have
    digest = "sum((md5_number_lower(t::varchar) >> 12)::hugeint)"
    n, total = con.execute(f"select count(*), coalesce({digest}, 0) from {source} t").fetchall()[0]
    return f"{n} rows, {total}"


def _columns(con: "duckdb.DuckDBPyConnection", path: Path) -> list[tuple[str, str]]:
    rows = con.execute(f"select column_name, column_type from (describe from read_parquet({lit(str(path))}))")
    return [(str(c), str(t)) for c, t in rows.fetchall()]


def _tables(folder: Path, instead: str = "") -> dict[str, str]:
    """The content of each frozen table; `instead` of that of one that cannot be read, without it raises."""
    import duckdb

    found = {}
    for path in sorted((folder / "tables").glob("*.parquet")):
        with closing(memory()) as con:
            try:
                found[path.stem] = content(con, f"read_parquet({lit(str(path))})")
            except duckdb.Error:
                if not instead:
                    raise
                found[path.stem] = instead
    return found


def _reports(folder: Path) -> dict[str, str]:
    files = sorted(p for p in (folder / "reports").rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _differing(stated: dict[str, str], found: dict[str, str]) -> list[str]:
    return sorted(k for k in stated.keys() | found.keys() if stated.get(k) != found.get(k))


def _hash(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps({**about, "hash": ""}, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    about = {**about, "tables": _tables(folder), "reports": _reports(folder), "hash": ""}
    about["hash"] = _hash(about)
    (folder / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return about


def _as_it_was(home: Home, about: dict[str, Any], scratch: Home) -> None:
    """A home whose archive holds what was there when the state was frozen; files are linked, not copied."""
    scratch.archive.mkdir(parents=True)
    shutil.copytree(home.archive / "objects", scratch.archive / "objects", copy_function=os.link)
    if (home.root / "keys").exists():
        shutil.copytree(home.root / "keys", scratch.root / "keys")
    for path in home.archive.iterdir():
        if path.is_file() and path.name not in ("ledger.jsonl", acceptances.NAME, "seen.json"):
            shutil.copy2(path, scratch.archive / path.name)
    for decided in acceptances.read(home):
        if decided.accepted_on <= about["frozen"]:  # lines may have gone since with who withdrew
            acceptances.append(scratch, decided)
    known = {d.delivery_id: d for d in ledger.read(home)}
    if missing := about["deliveries"].keys() - known.keys():
        raise RestageError(f"The archive no longer holds {', '.join(sorted(missing))}, which was frozen.")
    for delivery_id, then in about["deliveries"].items():
        # looked into again by the run; what it then was is compared by way of the tables
        state = "received" if then["state"] in ("accepted", "rejected") else then["state"]
        ledger.append(scratch, replace(known[delivery_id], state=state, reasons=(), judged_by="", n_rows=0))
