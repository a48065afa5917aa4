"""One centre's delivery, written as its `export.yaml` says; each format has its own writer.

`centres/<id>/export.yaml` (independent of `centre.yaml`):

    centre: <id>                 # folder of the inbox
    unit: A                      # letter of the cohort's onc_unit or rt_unit
    codes:                       # canonical code -> what this hospital writes
      sex: {M: "1", F: "2"}
    files:
      - path: DATA.csv           # inside the delivery; folders allowed
        format: csv              # csv | xlsx | odm | dicom | fhir: pipelines/simulate/write_<format>.py
        write: {...}             # how, see the writer
        select: |                # DuckDB SQL with an `order by`; columns in file order
    bulk:                        # large cohorts: CSV in place of all `files` that are not CSV
      # a sheet or item group of a file above, with the columns that a reader makes of it; or a select of its own
      - {path: Lesions.csv, format: csv, write: {...}, of: {file: BOOK.xlsx, part: Lesions}}

A `select` sees `truth.<table>`, the rows of `world.<table>` of this centre (`truth.meta` as a whole), and the macros
`code('list', value)` (the hospital's word), `num(x)` (decimal as short text, 34.5) and `comma(x)` (34,5). A writer is
`write(con, spec, target)`, where spec is the file's mapping and `centre`, `codes`, `extract_date`; `target` is the
path of the file, or of the folder that the writer makes. `twin(con, spec, part)` gives the select of a part as CSV.
"""

import hashlib
import re
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from pipelines import study
from pipelines.errors import MappingError, UsageError
from pipelines.simulate.defects import plant

if TYPE_CHECKING:
    import duckdb

FORMATS = ("csv", "xlsx", "odm", "dicom", "fhir")
UNKNOWN = "no word for a code of list "


def render(con: "duckdb.DuckDBPyConnection", export: Path, out: Path, bulk: bool, defect_rate: float = 0) -> None:
    """Write `out/inbox/<centre>/<extract_date>_export/` with the files of one `export.yaml` and their `manifest.yaml`.

    Input: schema `world` (`truth.build`), grain of each file as its `select` says. Output bytes are equal for an equal
    world; `defect_rate` of the records are spoiled (see `defects`). Raises `MappingError` for a wrong export.yaml or a
    code without a word, `UsageError` when another delivery of that name is there already: nothing received is
    overwritten.
    """
    spec = study.read_yaml(export)
    place = f"{export.parent.name}/{export.name}"
    files = _files(spec, bulk, place)
    _views(con, spec["centre"])
    _macros(con, spec.get("codes", {}))
    extract_date = con.execute("select extract_date from truth.meta").fetchall()[0][0]
    delivery = out / "inbox" / spec["centre"] / f"{extract_date}_export"
    # a delivery appears as a whole: an intake that runs meanwhile must not see half of it
    draft = out / f".{spec['centre']}_export"
    shutil.rmtree(draft, ignore_errors=True)
    shared = {"centre": spec["centre"], "codes": spec.get("codes", {}), "extract_date": extract_date}
    files = [{**file, **shared} for file in files]
    by_path = {file["path"]: {**file, **shared} for file in spec["files"]} | {file["path"]: file for file in files}
    if defect_rate:
        plant(con, export.parent, files, list(by_path.values()), defect_rate)
    try:
        for file in files:
            target = draft / file["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(con, file, by_path, target, place)
        _manifest(draft, extract_date)
        _deliver(draft, delivery)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _files(spec: Mapping[str, Any], bulk: bool, place: str) -> list[dict[str, Any]]:
    """The file specs that hold at this size, checked as far as no data is needed."""
    files = spec["files"]
    if bulk and spec.get("bulk"):
        files = [file for file in files if file["format"] == "csv"] + spec["bulk"]
    for file in files:
        path = PurePosixPath(file["path"])
        if file["format"] not in FORMATS:
            raise MappingError(f"{place}: {path}: format must be one of {', '.join(FORMATS)}.")
        if path.is_absolute() or ".." in path.parts:
            raise MappingError(f"{place}: {path}: a path inside the delivery is expected.")
    for name, words in spec.get("codes", {}).items():
        # YAML reads bare yes, no, on, off as booleans
        if not all(isinstance(code, str) for code in words):
            raise MappingError(f"{place}: codes.{name}: put the codes in quotes.")
    return list(files)


def _views(con: "duckdb.DuckDBPyConnection", centre: str) -> None:
    """Schema `truth`: what of the world this centre knows."""
    con.execute("drop schema if exists truth cascade; create schema truth")
    con.execute("create view truth.meta as from world.meta")
    tables = con.execute(
        "select table_name from information_schema.columns where table_schema = 'world' and column_name = 'centre'"
    ).fetchall()
    for (table,) in tables:
        con.execute(f"create view truth.{table} as from world.{table} where centre = {study.sql_literal(centre)}")


def _macros(con: "duckdb.DuckDBPyConnection", codes: Mapping[str, Mapping[str, Any]]) -> None:
    """`code`, `num` and `comma`; a `case` per list, which DuckDB reduces to the one list that is asked for."""
    text = study.sql_literal
    lists = "".join(
        f" when {text(name)} then case value::varchar "
        + "".join(f"when {text(code)} then {text(str(word))} " for code, word in words.items())
        # depends on the row, else it would be raised while planning; never shows the value
        + f"else error({text(UNKNOWN + name)} || left(value::varchar, 0)) end"
        for name, words in codes.items()
    )
    unknown_list = f"error({text(UNKNOWN)} || of_list)"
    chosen = f"case of_list{lists} else {unknown_list} end" if lists else unknown_list
    con.execute(f"create or replace temp macro code(of_list, value) as case when value is not null then {chosen} end")
    con.execute("create or replace temp macro num(x) as rtrim(rtrim(x::decimal(18, 3)::varchar, '0'), '.')")
    con.execute("create or replace temp macro comma(x) as replace(num(x), '.', ',')")


def _write(
    con: "duckdb.DuckDBPyConnection",
    file: dict[str, Any],
    by_path: Mapping[str, dict[str, Any]],
    target: Path,
    place: str,
) -> None:
    """One file by its writer; a DuckDB error becomes one that names the centre's file."""
    import duckdb

    try:
        if "of" in file:
            whole = by_path[file["of"]["file"]]
            file["select"] = _writer(whole["format"]).twin(con, whole, file["of"]["part"])
        _writer(file["format"]).write(con, file, target)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise MappingError(f"{place}: {file['path']}: {str(error).splitlines()[0]}") from error
    except duckdb.Error as error:
        # a message about rows may quote one of their values
        found = re.search(rf"{UNKNOWN}(\w*)", str(error))
        problem = _no_word(file, found[1]) if found else f"its select fails on the data ({type(error).__name__})."
        raise MappingError(f"{place}: {file['path']}: {problem}") from None
    except KeyError as error:
        raise MappingError(f"{place}: {file['path']}: {error} is unknown or missing. Correct the entry.") from error


def _writer(name: str) -> Any:
    """The module that writes this format; only those in `FORMATS` come here."""
    return import_module(f"pipelines.simulate.write_{name}")


def _no_word(file: Mapping[str, Any], name: str) -> str:
    """What to add to `codes`, by the study's code list where there is one."""
    words = file["codes"].get(name, {})
    declared = study.codelist(name) if (study.STUDY / "codelists" / f"{name}.csv").is_file() else ()
    lacking = ", ".join(code for code in declared if code not in words)
    return f"codes.{name} has {UNKNOWN}{name}{f' (it lacks {lacking})' if lacking else ''}. Add it."


def _manifest(folder: Path, extract_date: Any) -> None:
    """`manifest.yaml`: the extract date and each file's SHA-256."""
    sums = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    text = yaml.safe_dump({"extract_date": extract_date, "files": sums}, sort_keys=False, allow_unicode=True)
    (folder / "manifest.yaml").write_text(text, encoding="utf-8")


def _deliver(draft: Path, delivery: Path) -> None:
    """Move the finished delivery to the inbox; the same one again is no news, another one is refused."""
    if delivery.exists():
        old, new = delivery / "manifest.yaml", draft / "manifest.yaml"
        if not old.is_file() or old.read_bytes() != new.read_bytes():
            name = f"{delivery.parent.name}/{delivery.name}"
            raise UsageError(f"{name}: a delivery with other files is there already. Choose another folder.")
        return
    delivery.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(delivery)
