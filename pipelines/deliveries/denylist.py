"""Who has withdrawn consent: keyed digests, so that the list names nobody, applied whenever a delivery is landed."""

import hashlib
import hmac
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import warehouse
from pipelines.errors import RestageError
from pipelines.staging import INVISIBLE
from pipelines.staging_fields import quote, text_sql
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home, write_whole

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Centre

WORKBOOK = r"(?i)\.xls[xmb]?$"
OF_KEY = "key:"  # what begins so in the list tells whether the key is the one that it was made with
CODE = ""  # stands for the centre in the digest of a study code, which all centres share


def read(home: Home) -> set[str]:
    """The digests of withdrawn subjects; empty in nearly every study.

    Raises `RestageError` where there is a list that cannot be used: with another key it would keep nobody out.
    """
    if not _list(home).exists():
        return set()
    listed = set(_list(home).read_text(encoding="ascii").split())
    if not listed:
        raise RestageError("archive/withdrawn.txt is empty: withdrawn subjects could come back. Restore it.")
    of_key = {entry for entry in listed if entry.startswith(OF_KEY)}  # lists of earlier versions have none
    if of_key and _of_key(home) not in of_key:
        raise RestageError("keys/withdrawn.key is not that of archive/withdrawn.txt: it keeps nobody out. Restore it.")
    _key(home)
    return listed - of_key


def add(home: Home, centre: str, identifiers: Iterable[str]) -> None:
    """Enter identifiers of a withdrawn subject: those of a centre, or (centre `CODE`) its study code."""
    known = read(home)
    new = sorted({digest(home, centre, i) for i in identifiers} - known)
    if new:
        listed = _list(home).read_text(encoding="ascii") if _list(home).exists() else ""
        new = [d for d in (_of_key(home), *new) if d not in listed]
        write_whole(_list(home), listed + "".join(f"{d}\n" for d in new))


def begin(home: Home, codes: Iterable[str] = ()) -> None:
    """Note that a withdrawal is to be done (see `withdraw.finish`), with the study codes where they are known."""
    write_whole(home.withdrawing, "".join(f"{c}\n" for c in sorted({*codes, *(begun(home) or ())})), 0o600)


def begun(home: Home) -> set[str] | None:
    """The study codes of a withdrawal that was begun and not ended, where they are known; None where there is none."""
    path = home.withdrawing
    return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else None


def end(home: Home) -> None:
    home.withdrawing.unlink(missing_ok=True)


def digest(home: Home, centre: str, identifier: str) -> str:
    """HMAC-SHA256 of centre and identifier under the study's own key; case does not count, nor hyphens and blanks of a
    study code."""
    return _digests(_key(home), centre, identifier)[0]


def _digests(key: bytes, centre: str, identifier: str) -> list[str]:
    """What stands in the list for an identifier; then what stands there for a study code in earlier versions."""
    text = identifier.strip(INVISIBLE).upper()
    forms = [re.sub("[^0-9A-Z]", "", text), text] if centre == CODE else [text]
    return [hmac.digest(key, f"{centre}\n{form}".encode(), "sha256").hex() for form in forms]


def withdrawn(home: Home, centre: "Centre", landed: Path) -> set[str]:
    """The centre's own ids, among those that were landed, of subjects who have withdrawn."""
    denied = read(home)
    if not denied:
        return set()
    with closing(warehouse.memory()) as con:
        return {i.strip(INVISIBLE) for i in _denied(home, centre, con, landed, denied)}


def codes(home: Home, centre: "Centre", landed: Path) -> set[str]:
    """The study codes, among those that were landed, of subjects who have withdrawn."""
    denied = read(home)
    with closing(warehouse.memory()) as con:
        named = {code.strip(INVISIBLE) for _, code in _linked(centre, con, landed)}
    key = _key(home)
    return {form for c in named if not denied.isdisjoint(_digests(key, CODE, c)) for form in (c, c.upper())}


def among(home: Home, centre: str, ids: Iterable[str]) -> set[str]:
    """Those of a centre's own ids (or, centre `CODE`, study codes) that are of subjects who have withdrawn."""
    if not (denied := read(home)):
        return set()
    key = _key(home)
    return {i for i in ids if not denied.isdisjoint(_digests(key, centre, i))}


def teller(home: Home, centre: str) -> Callable[[str], bool]:
    """Whether a word is the study code, or this centre's own id, of a subject who has withdrawn."""
    if not (denied := read(home)):
        return lambda word: False
    key = _key(home)
    return lambda word: not denied.isdisjoint([*_digests(key, CODE, word), *_digests(key, centre, word)])


def _denied(home: Home, centre: "Centre", con: "duckdb.DuckDBPyConnection", landed: Path, denied: set[str]) -> set[str]:
    key = _key(home)
    found = {i for i, code in _linked(centre, con, landed) if not denied.isdisjoint(_digests(key, CODE, code))}
    for source in centre.sources:
        path = landed / f"{source}.parquet"
        for text in subject_sql(centre, source, con, path):
            ids = con.execute(f"select distinct {text} as i from {_read(path)} where i is not null").fetchall()
            found |= {i for (i,) in ids if not denied.isdisjoint(_digests(key, centre.name, i))}
    return found


def _linked(centre: "Centre", con: "duckdb.DuckDBPyConnection", landed: Path) -> set[tuple[str, str]]:
    """Pairs of own id and study code that were landed."""
    found: set[tuple[str, str]] = set()
    for part in centre.tables["links"]:
        fields = {f.name: text_sql(f) for f in part.fields}
        path = landed / f"{part.source}.parquet"
        if path.exists() and {"local_id", "usubjid"} <= fields.keys():
            pairs = f"select distinct {fields['local_id']}, {fields['usubjid']} from {_read(path)}"
            found |= {(i, code) for i, code in con.execute(pairs).fetchall() if i and code}
    return found


def rows_of(centre: "Centre", landed: Path, local_ids: Iterable[str]) -> dict[str, set[str]]:
    """Source file -> places of all rows of these subjects that came with the delivery that lies in `landed`.

    In a workbook rows that name nobody below such a row are the subject's too: a merged cell is read in its first row.
    """
    listed, found = ", ".join(lit(i.upper()) for i in local_ids), defaultdict(set)
    with closing(warehouse.memory()) as con:
        for source in centre.sources:
            path = landed / f"{source}.parquet"
            told = [f"nullif(upper(trim({t}, {lit(INVISIBLE)})), '')" for t in subject_sql(centre, source, con, path)]
            if told:
                mine = " or ".join(f"coalesce({t} in ({listed}), false)" for t in told)
                rows = con.execute(f"""
                    with told as (
                        select source_file, source_row, file_row_number as place,
                            case when coalesce({", ".join(told)}) is not null then {mine} end as mine
                        from read_parquet({lit(str(path))}, file_row_number = true)
                        where delivery_id = {lit(landed.name)}
                    ),
                    around as (
                        select *, last_value(mine ignore nulls) over (partition by source_file order by place) as above
                        from told
                    )
                    select source_file, source_row from around
                    where mine or (mine is null and above and regexp_matches(source_file, {lit(WORKBOOK)}))
                """).fetchall()
                for file, row in rows:
                    found[file].add(row)
    return found


def subject_sql(centre: "Centre", source: str, con: "duckdb.DuckDBPyConnection", path: Path) -> list[str]:
    """SQL of the texts that tell, in a row of a source, whose it is: as its parts say, or those that look it up."""
    if not path.exists():
        return []
    there = {c for (c,) in con.execute(f"select column_name from (describe from {_read(path)})").fetchall()}
    found: dict[str, None] = {}
    for part in (p for parts in centre.tables.values() for p in parts):
        own = next(f for f in part.fields if f.name == "local_id")
        if part.source == source and set(own.columns) <= there:
            found[text_sql(own)] = None
        for look in part.lookups:
            other = {here: column for here, column in look["on"].items() if here in own.columns}
            if look["source"] == source and len(own.columns) == 1:
                found |= dict.fromkeys(quote(column) for column in other.values() if column in there)
    return list(found)


def _read(path: Path) -> str:
    return f"read_parquet({lit(str(path))})"


def _list(home: Home) -> Path:
    return home.archive / "withdrawn.txt"


def _key(home: Home) -> bytes:
    """The key of this study; made once, readable by its owner alone, and not a part of the archive."""
    path = home.root / "keys" / "withdrawn.key"
    if not path.exists() and _list(home).exists():
        raise RestageError("keys/withdrawn.key is missing: without it withdrawn subjects could come back. Restore it.")
    if not path.exists():
        write_whole(path, secrets.token_hex(32), 0o600)
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise RestageError("keys/withdrawn.key is damaged: without it withdrawn subjects could come back. Restore it.")
    return bytes.fromhex(text)


def _of_key(home: Home) -> str:
    return OF_KEY + hmac.new(_key(home), b"key", hashlib.sha256).hexdigest()
