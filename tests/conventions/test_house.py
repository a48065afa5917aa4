"""The rules of the house that a reviewer would otherwise have to look for by hand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import models, study, study_schema

ROOT = study.ROOT
MACHINE = ROOT / "pipelines"
MODULES = sorted(MACHINE.rglob("*.py"))
# from the ground up; what stands on one line must not import each other
FLOORS = [
    {"errors"},
    {"study", "yaml_schema"},
    {"study_schema", "query_words", "sql_tree"},
    {"readers", "survival", "disclosure", "simulate", "warehouse"},
    {"mapping", "lock", "touched"},
    {"mapping_checks", "mapping_words"},
    {"centres"},
    {"staging_words", "staging_numbers"},
    {"staging_dates"},
    {"staging_fields"},
    {"staging_transactions", "staging_versions", "staging_rollup", "staging_unread"},
    {"staging_rows"},
    {"staging_left_out"},
    {"staging_findings"},
    {"staging", "models"},
    {"rerun"},
    {"deliveries", "rules", "queries", "figures", "endpoints", "alternatives", "independent", "recist"},
    {"freeze", "query_files", "status"},
    {"accept", "backup", "reference", "outbox", "withdraw", "profile", "trace", "reports"},
    {"orchestration"},
    {"definitions"},
    {"cli"},
]
LEVEL = {part: level for level, parts in enumerate(FLOORS) for part in parts}


def part_of(path: Path, machine: Path = MACHINE) -> str:
    """The part of the machine that a module belongs to: its folder, or itself where it lies at the top."""
    return path.relative_to(machine).with_suffix("").parts[0]


def imports(source: str) -> Iterator[str]:
    """Every module that a source imports, also inside functions and for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the floor"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(part: str, source: str) -> list[str]:
    """Imports that run up the floors or across one, or take a library from the part that alone may use it."""
    wrong = []
    for name in imports(source):
        top, *rest = name.split(".")
        owner = {"dagster": "orchestration", "great_expectations": "rules"}.get(top, part)
        if owner != part:
            wrong.append(f"{name}: only pipelines/{owner} imports {top}")
        if top == "pipelines" and rest and rest[0] != part and LEVEL[rest[0]] >= LEVEL[part]:
            wrong.append(f"{name}: {part} stands on floor {LEVEL[part]}, {rest[0]} on floor {LEVEL[rest[0]]}")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(MACHINE).as_posix())
def test_imports_run_down_the_floors(path: Path) -> None:
    if part_of(path) != "__init__":
        assert wrong_imports(part_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("staging", "import dagster"),
        ("reports", "from great_expectations import get_context"),
        ("study", "from pipelines.warehouse import Home"),
        ("queries", "def f():\n    from pipelines.rules.run import run_rules"),
        ("deliveries", "from pipelines import staging, rules"),
    ],
)
def test_a_wrong_import_is_found(part: str, line: str) -> None:
    assert wrong_imports(part, line)


def test_one_part_of_the_rules_speaks_to_great_expectations() -> None:
    users = [
        p.name
        for p in MODULES
        if any(i.startswith("great_expectations") for i in imports(p.read_text(encoding="utf-8")))
    ]
    assert users == ["gx_expectation.py", "gx_native.py", "gx_record.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(MACHINE).as_posix())
def test_modules_are_small_and_packages_export_nothing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250
    assert path.name != "__init__.py" or not lines


def test_only_the_command_line_prints() -> None:
    """Calls, not words: docstrings may speak of printing."""
    printing = [
        p.relative_to(MACHINE).as_posix()
        for p in MODULES
        if part_of(p) != "cli"
        for node in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert printing == []


def test_every_floor_is_listed() -> None:
    """A new part of the machine needs a floor before it can be imported."""
    parts = {part_of(p) for p in MODULES} - {"__init__"}
    assert parts - LEVEL.keys() == set()


SQL = sorted((ROOT / "sql").rglob("*.sql"))


@pytest.mark.parametrize("path", SQL, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_sql_says_what_a_row_is_and_why_and_has_a_spec(path: Path) -> None:
    header = dict(models.HEADER.findall(path.read_text(encoding="utf-8")))
    assert header.keys() >= {"one row per", "why"}, "header lines `-- one row per:` and `-- why:`"
    spec = ROOT / "tests" / "spec" / path.parent.name / f"{path.stem}.txt"
    assert spec.is_file(), "a spec in tests/spec/<schema>/<name>.txt"


def test_no_total_is_taken_by_a_window_over_all_rows() -> None:
    """DuckDB 1.5.5 fails at random there, and the database with it (docs/decisions/0062). A subquery says the same."""
    files = [p for top in ("sql", "pipelines", "expectations", "study") for p in (ROOT / top).rglob("*")]
    texts = {p: p.read_text(encoding="utf-8") for p in files if p.suffix in (".sql", ".py", ".yaml")}
    total = re.compile(r"(?<!row_number\(\)) over \(\)")
    assert [str(p.relative_to(ROOT)) for p, text in texts.items() if total.search(text)] == []


def test_declared_tables_are_made_and_made_tables_are_declared() -> None:
    """Columns of each SQL file equal the declared ones, by name and order; code lists and passes in Python aside."""
    from pipelines import warehouse

    con = warehouse.memory()
    study_schema.create_schema(con)
    con.execute("create table study.centres (centre varchar, centre_kind varchar, title varchar, language varchar)")
    for schema in (*models.LAYERS, "staged"):
        con.execute(f"create schema {schema}")
    for table in study.tables().values():
        listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in table.columns)
        con.execute(f"create table {table.full_name} ({listed})")
    for name in study.staged_tables():
        columns = {**study.staged_columns(name), **{p: study.Column(p, "text", p) for p in study.PROVENANCE}}
        listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in columns.values())
        con.execute(f"create table staged.{name} ({listed})")
    from pipelines.orchestration.take_in import TECHNICAL, technical_type

    for name, listed in TECHNICAL.items():
        typed = ", ".join(f"{column} {technical_type(column)}" for column in listed.split(", "))
        con.execute(f"create table staged.{name} ({typed})")
    different = {}
    for name, model in models.load().items():
        produced = [row[0] for row in con.execute(f"describe {model.sql}").fetchall()]
        declared = [c.name for c in model.table.columns]
        if produced != declared:
            different[name] = {"produced": produced, "declared": declared}
    assert different == {}


def centre_names() -> list[str]:
    return sorted(p.parent.name for p in (ROOT / "centres").glob("[!_]*/*.yaml"))


def test_no_centre_is_named_in_the_machine() -> None:
    names = re.compile(rf"\b({'|'.join(set(centre_names()))})\b")
    files = [
        p for folder in ("pipelines", "sql") for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"
    ]
    assert names.pattern != r"\b()\b"
    assert [(p.name, names.findall(p.read_text())) for p in files if names.search(p.read_text())] == []


STRINGS = re.compile(r"--.*$|'(?:[^']|'')*'", re.MULTILINE)
NUMBER = r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])"
OPERATOR = r"(?:[<>=*/+-]|\bbetween\b|\band\b|\binterval\b)"
DECIDING = re.compile(rf"{OPERATOR}\s*{NUMBER}|{NUMBER}\s*[<>=*/+-]", re.IGNORECASE)
FREE = {"0", "1", "100"}
# numbers that are no measure, each with what it is
STRUCTURAL = {
    "links": {"2"},  # ISO 7064 doubles at each character; a subject has two kinds of centre
    "failing": {"2"},  # a record of a visit has a key of subject, lesion and visit
    "subject_flow": {"4"},  # steps before those that come one per endpoint
    "reconciliation": {"2", "9"},  # digits shown beyond the printed ones; 1e-9 against binary halves
}


def deciding_numbers(sql: str) -> set[str]:
    """Numbers that an SQL text compares or reckons with; row numbers, places of characters and sizes are none."""
    found = DECIDING.findall(STRINGS.sub(" ", sql))
    return {number.removesuffix(".0") for pair in found for number in pair if number} - FREE


@pytest.mark.parametrize("path", SQL, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_sql_holds_no_protocol_number(path: Path) -> None:
    assert deciding_numbers(path.read_text(encoding="utf-8")) <= STRUCTURAL.get(path.stem, set())


def test_a_protocol_number_is_found() -> None:
    sql = (
        "select 7 as row_no, a * 30 <= 0.7 * b -- 12\n"
        "from t where c = '45' and d::decimal(9, 3) > 5 or e between 1 and 28"
    )
    assert deciding_numbers(sql) == {"30", "0.7", "5", "28"}


MODULE_NUMBERS = re.compile(r"\b(recist|fraction|dose|diameter|toxicity|ecog)\w*\s*([<>]=?|==)\s*\d", re.IGNORECASE)


def test_the_machine_compares_no_clinical_quantity_with_a_number() -> None:
    assert [p.name for p in MODULES if MODULE_NUMBERS.search(p.read_text(encoding="utf-8"))] == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    """Paths of somebody's home, addresses of registries and of one hospital lead nowhere on another machine."""
    registry = r"https?://[\w.-]*(pypi|pythonhosted|anaconda|npmjs|jfrog|nexus)"
    forbidden = re.compile(rf"/(home|Users|root)/[a-z]|{registry}|url *= *\"?https?://[a-z]")
    folders = ("pipelines", "sql", "study", "expectations", "centres", "tests", "docs", "deploy", "benchmarks", ".ci")
    texts = {".py", ".sql", ".yaml", ".md", ".csv", ".json", ".txt", ".toml", ".lock", ".cfg", ".conf", ""}
    files = [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file() and p.suffix in texts]
    files += [p for p in ROOT.iterdir() if p.is_file() and p.suffix in texts]
    found = [
        str(p.relative_to(ROOT))
        for p in files
        if p != Path(__file__) and forbidden.search(p.read_text("utf-8", "replace"))
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "study").rglob("*.yaml")), ids=lambda p: p.name)
def test_declarations_are_readable(path: Path) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
