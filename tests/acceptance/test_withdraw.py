"""Who withdraws consent is nowhere any more, nobody else changes, and a re-sent export brings nothing back."""

import csv
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import backup, freeze, study, warehouse
from pipelines.centres import load_all
from pipelines.deliveries import acceptances, denylist, ledger
from pipelines.orchestration.plan import CENTRES
from pipelines.warehouse import Home, open_read
from pipelines.withdraw import withdraw
from tests.conftest import Restage

pytestmark = pytest.mark.long

PER_SUBJECT = [t for t in study.tables().values() if "usubjid" in {c.name for c in t.columns}]
Withdrawn = tuple[Path, list[str], set[str], dict[str, list[dict[str, Any]]]]
LEFT_OUT = "file_sha256", "query_id"


def tables(home: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(open_read(Home(home))) as con:
        found = {}
        for table in PER_SUBJECT:
            cursor = con.execute(f"from {table.full_name} order by all")
            names = [c[0] for c in cursor.description or []]
            rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
            found[table.full_name] = [{k: v for k, v in row.items() if k not in LEFT_OUT} for row in rows]
        return found


def known_as(home: Path, usubjid: str) -> set[str]:
    """The study code and the ids by which centres know a subject."""
    with closing(warehouse.memory()) as con:
        links = f"read_parquet('{home}/staged/*/links.parquet', union_by_name = true)"
        rows = con.execute(f"select local_id from {links} where usubjid = '{usubjid}'").fetchall()
    return {usubjid, *(i for (i,) in rows)}


def contents(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a home but the simulator's truth, archives and workbooks member by member."""
    for path in sorted(p for p in home.rglob("*") if p.is_file() and "truth" not in p.relative_to(home).parts):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from ((path / name, archive.read(name)) for name in archive.namelist())
        else:
            yield path, path.read_bytes()


def parquet_cells(home: Path) -> set[str]:
    with closing(warehouse.memory()) as con:
        cells: set[str] = set()
        for path in [
            p for part in ("landed", "staged", "history", "frozen") for p in home.glob(f"{part}/**/*.parquet")
        ]:
            for row in con.execute(f"from '{path}'").fetchall():
                cells |= {str(v) for v in row if v is not None}
        return cells


@pytest.fixture(scope="module")
def withdrawn(demo_home: Path, tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> Withdrawn:
    """A home after one subject of every centre has withdrawn: home, codes, ids, tables before."""
    home = tmp_path_factory.mktemp("withdraw") / "home"
    shutil.copytree(demo_home, home, copy_function=shutil.copy2)
    before = tables(home)
    with closing(open_read(Home(home))) as con:
        pairs = con.execute(
            "select siteid, rtsiteid, min(usubjid) from derived.adsl group by all order by all"
        ).fetchall()
    codes, seen = [], set()
    for siteid, rtsiteid, usubjid in pairs:
        if not {siteid, rtsiteid} <= seen:
            codes.append(usubjid)
            seen |= {siteid, rtsiteid}
    ids = set().union(*(known_as(home, code) for code in codes))
    for code in codes[1:]:
        assert withdraw(Home(home), code, load_all(CENTRES)).deliveries
    done = restage("withdraw", codes[0], "--home", home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "whose files are written anew" in done.stdout
    return home, codes, ids, before


def test_nobody_else_changes(withdrawn: Withdrawn) -> None:
    home, codes, _, before = withdrawn
    after = tables(home)
    for name, rows in before.items():
        if name.startswith("validated.") and name not in ("validated.eligibility", "validated.screening"):
            continue
        kept = [row for row in rows if row["usubjid"] not in codes]
        assert _unranked(after[name]) == _unranked(kept), name


def _unranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Figures rank subjects among each other and say of how many: that is about all of them, not about one."""
    return [{k: v for k, v in row.items() if k not in ("rank_no", "n_measured", "n_all")} for row in rows]


def test_the_subject_is_in_no_file(
    withdrawn: Withdrawn,
) -> None:
    home, _, ids, _ = withdrawn
    telling = [i for i in ids if len(i) > 4]  # a short number says nothing outside its column
    pattern = re.compile(b"|".join(re.escape(i.encode()) + rb"(?![0-9A-Za-z])" for i in telling))
    hits = {str(path.relative_to(home)) for path, content in contents(home) if pattern.search(content)}
    assert hits == set()
    assert not parquet_cells(home) & set(telling)
    for centre in load_all(CENTRES).values():
        with closing(warehouse.memory()) as con:
            links = con.execute(f"select local_id from '{home}/staged/{centre.name}/links.parquet'").fetchall()
        assert not {i for (i,) in links} & ids


def test_the_outboxes_of_its_centres_begin_anew(withdrawn: Withdrawn, demo_home: Path) -> None:
    """What was put out for the deliveries of the subject's centres named it; what is there now was made after."""
    for outbox in sorted((demo_home / "reports" / "centres").glob("*/outbox")):
        (before,) = outbox.iterdir()
        now = withdrawn[0] / outbox.relative_to(demo_home)
        (edition,) = now.iterdir()
        assert edition.name == before.name
        assert (edition / "report.html").read_bytes() == (now.parent / "report.html").read_bytes()
        assert (edition / "report.html").read_bytes() != (before / "report.html").read_bytes()


def test_the_ledger_keeps_the_old_sum_beside_the_new(
    withdrawn: Withdrawn,
) -> None:
    home = Home(withdrawn[0])
    objects = {p.name for p in (home.archive / "objects").iterdir()}
    for delivery in ledger.read(home):
        rewritten = [f for f in delivery.files.values() if "was" in f]
        assert rewritten or delivery.erased, delivery.centre
        for about in rewritten:
            assert about["sha256"] in objects
            assert not set(str(about["was"]).split()) & objects
        assert not set(delivery.erased.values()) & objects


def test_a_re_sent_export_does_not_bring_the_subject_back(
    withdrawn: Withdrawn,
    demo_home: Path,
    tmp_path: Path,
    restage: Restage,
) -> None:
    home = tmp_path / "home"
    shutil.copytree(withdrawn[0], home, copy_function=shutil.copy2)
    for centre in sorted(p.name for p in (demo_home / "inbox").iterdir()):
        (sent,) = (demo_home / "inbox" / centre).iterdir()
        shutil.copytree(sent, home / "inbox" / centre / "2030-01-01_again")
        (home / "inbox" / centre / "2030-01-01_again" / "manifest.yaml").unlink()
    done = restage("run", "--home", home)
    assert done.returncode == 0, done.stdout
    telling = [i.encode() for i in withdrawn[2] if len(i) > 4]
    pattern = re.compile(b"|".join(re.escape(i) + rb"(?![0-9A-Za-z])" for i in telling))
    assert {str(p.relative_to(home)) for p, content in contents(home) if pattern.search(content)} == set()
    with closing(open_read(Home(home))) as con:
        known = {c for (c,) in con.execute("select usubjid from harmonised.links").fetchall()}
    assert known and not known & set(withdrawn[1])


def test_who_withdrew_after_a_backup_does_not_come_back_with_it(
    demo_home: Path, tmp_path: Path, restage: Restage
) -> None:
    """Neither in tables nor in what a backup holds besides: frozen states, decisions, answers and outboxes."""
    home, new = Home(tmp_path / "home"), tmp_path / "new"
    shutil.copytree(demo_home, home.root, copy_function=shutil.copy2)
    with (home.reports / "centres" / "me2" / "queries.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *asked = csv.reader(file, delimiter=";")
    with closing(warehouse.memory()) as con:
        links = con.execute(f"select local_id, usubjid from '{home.staged}/me2/links.parquet'").fetchall()
    subject = next(code for row in asked if (code := dict(links).get(row[head.index("local_id")])))
    answer = home.inbox / "me2" / "2017-05-11_reply"
    answer.mkdir()
    with (answer / "queries.csv").open("w", encoding="utf-8-sig", newline="") as file:
        replied = ({**dict(zip(head, row, strict=True)), "site_reply": "confirmed"} for row in asked)
        csv.writer(file, delimiter=";").writerows([head, *(row.values() for row in replied)])
    assert restage("run", "--home", home.root).returncode == 0
    ids = {i for i in known_as(home.root, subject) if len(i) > 4}
    decided = acceptances.Acceptance("Q1", "me2", subject, "v", "A", ledger.now(), f"about {subject}", "", "")
    acceptances.append(home, decided)
    freeze.freeze(home, "first", "A", "test", "code")
    backup.backup(home, tmp_path / "old.tar.gz")
    denylist.add(home, denylist.CODE, [subject])  # what is left of the old home
    done = restage("restore", tmp_path / "old.tar.gz", "--home", new, "--withdrawn-from", home.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "me2: in 1 deliveries, whose files are written anew" in done.stdout
    pattern = re.compile(b"|".join(re.escape(i.encode()) + rb"(?![0-9A-Za-z])" for i in ids))
    assert {str(p.relative_to(new)) for p, content in contents(new) if pattern.search(content)} == set()
    assert not parquet_cells(new) & ids
    assert [a["why"] for a in freeze.read(Home(new), "first")["amended"]] == ["a subject withdrew consent"]


def test_without_the_key_nothing_is_taken_in(withdrawn: Withdrawn, tmp_path: Path, restage: Restage) -> None:
    home = tmp_path / "home"
    shutil.copytree(withdrawn[0] / "archive", home / "archive")
    done = restage("rebuild", "--home", home)
    assert done.returncode == 1
    assert "withdrawn.key is missing" in done.stderr
