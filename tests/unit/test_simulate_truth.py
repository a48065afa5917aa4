"""The invented world leads back to the published truth when RECIST 1.1 is applied to its lesions, by other means."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import study, study_schema
from pipelines.errors import Infeasible
from pipelines.simulate import cohort, truth
from pipelines.warehouse import memory

REFERENCE = study.ROOT / "examples" / "reference_study"
UNITS = {"A": "o1", "B": "o2", "C": "o3", "R1": "r1", "R2": "r2", "R3": "r3", "R4": "r4"}
RANK = ["CR", "PR", "SD", "PD"]
Row = dict[str, Any]


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    result = con.execute(sql)
    names = [d[0] for d in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def grown(now: Decimal, nadir: Decimal) -> bool:
    return now - nadir >= 5 and (now - nadir) * 100 >= nadir * 20


def series(
    lesions: list[Row], by_date: dict[date, dict[str, Row]], first: date
) -> Iterator[tuple[date, str, list[str]]]:
    """Overall response at each visit after `first`, which is the baseline, with the lesions that progress there."""
    targets = [
        x
        for x in lesions
        if x["lesion_role"] != "non_target" and x["measurable_fl"] == "Y" and x["lesion_id"] in by_date[first]
    ]
    base = sum(by_date[first][x["lesion_id"]]["diameter_mm"] for x in targets)
    nadir, own = base, {x["lesion_id"]: by_date[first][x["lesion_id"]]["diameter_mm"] for x in targets}
    complete_before = False
    for day in sorted(d for d in by_date if d > first):
        seen = {k: m for k, m in by_date[day].items() if k in {x["lesion_id"] for x in lesions}}
        new = [k for k, m in seen.items() if m["lesion_state"] == "unequivocal"]
        worse = [k for k, m in seen.items() if m["lesion_state"] == "unequivocal_progression"]
        worse += [k for k in own if grown(seen[k]["diameter_mm"], own[k])]
        total = sum(seen[k]["diameter_mm"] for k in own)
        gone = all(seen[x["lesion_id"]]["diameter_mm"] < (10 if x["anatomic_site"] == "node" else 1) for x in targets)
        clear = all(
            m["lesion_state"] == "absent" or (m["diameter_mm"] is not None and m["diameter_mm"] < 10)
            for m in seen.values()
        )
        unequivocal = any(m["lesion_state"] == "unequivocal_progression" for m in seen.values())
        if new or unequivocal or (targets and not gone and grown(total, nadir)) or (complete_before and not clear):
            response = "PD"
        elif targets and gone and clear:
            response, complete_before = "CR", True
        else:
            response = "PR" if targets and total * 100 <= base * 70 else "SD"
        nadir = min(nadir, total)
        own = {k: min(v, seen[k]["diameter_mm"]) for k, v in own.items()}
        yield day, response, sorted({*new, *worse})


def in_field(lesion: Row, by_date: dict[date, dict[str, Row]], first: date, found: dict[date, Row]) -> dict[date, str]:
    """Response of one irradiated lesion at each visit after its baseline `first`."""
    name, node = lesion["lesion_id"], lesion["anatomic_site"] == "node"
    base = nadir = by_date[first][name]["diameter_mm"]
    result = {}
    for day in sorted(d for d in by_date if d > first):
        now = by_date[day][name]["diameter_mm"]
        if base is None:
            finding = found.get(day, {"finding": None, "field_relation": None})
            reported = {"disappeared": "PR", "not_evaluable": "NE", "stable": "SD", "progressed": "PD"}
            result[day] = "NE" if finding["field_relation"] == "out" else reported.get(finding["finding"], "NE")
            continue
        gone = now < 10 if node else now == 0
        result[day] = "CR" if gone else "PD" if grown(now, nadir) else "PR" if now * 100 <= base * 70 else "SD"
        nadir = min(nadir, now)
    return result


def derive(con: duckdb.DuckDBPyConnection) -> dict[str, Row]:
    """Truth of each patient found again from lesions, measurements, targets and restagings alone."""
    lesions, measured, targets, found = (
        defaultdict(list),
        defaultdict(lambda: defaultdict(dict)),
        defaultdict(dict),
        defaultdict(dict),
    )
    for x in rows(con, "from world.lesions"):
        lesions[x["usubjid"]].append(x)
    for m in rows(con, "from world.measurements"):
        measured[m["usubjid"]][m["trdt"]][m["lesion_id"]] = m
    for t in rows(con, "from world.targets"):
        targets[t["usubjid"]][t["lesion_label"]] = t["target_id"]
    for r in rows(con, "from world.restagings"):
        found[r["usubjid"], r["target_id"]][r["rsdt"]] = r
    derived = {}
    for p in rows(con, "select patient, usubjid, pazopanib_start, rt_start, restaging from world.patients"):
        mine, visits = lesions[p["usubjid"]], measured[p["usubjid"]]
        responses, oligo = [], None
        for day, response, worse in series(mine, visits, min(visits)):
            if response == "PD" or (day - p["pazopanib_start"]).days >= 42:
                responses.append(response)
            if response == "PD":
                oligo = day, worse
                break
        assert oligo is not None
        last = max(d for d in visits if d < p["rt_start"])
        irradiated = [x for x in mine if x["lesion_id"] in targets[p["usubjid"]]]
        fields = {
            x["anatomic_site"]: in_field(x, visits, last, found[p["usubjid"], targets[p["usubjid"]][x["lesion_id"]]])
            for x in irradiated
        }
        local = [d for f in fields.values() for d, r in f.items() if r == "PD"]
        others = [x for x in mine if x not in irradiated]
        distant = [d for d, r, _ in series(others, visits, last) if r == "PD"]
        second = min([*local, *distant], default=None)
        near = [any(second and (d - second).days <= 28 for d in part) for part in (local, distant)]
        sites = {site: f[p["restaging"]] for site, f in fields.items()}
        new = {x["lesion_id"] for x in mine if x["lesion_role"] == "new"} & set(oligo[1])
        pattern = {(True, False): "local", (False, True): "distant", (True, True): "both"}.get((near[0], near[1]))
        derived[p["patient"]] = {
            "best_response_l1": min(responses, key=RANK.index),
            "oligo_progression": oligo[0],
            "oligo_pattern": "new" if new else "pre_existing",
            "second_progression": second,
            "second_pattern": pattern,
            "srt_response": max([r for r in sites.values() if r != "NE"], key=RANK.index, default="NE"),
            "baseline_of_rt": last,
            "progressing": len(oligo[1]),
            "sites": sites,
        }
    return derived


def assert_truth(con: duckdb.DuckDBPyConnection) -> None:
    deposits: dict[str, dict[str, Row]] = defaultdict(dict)
    for d in rows(con, "from world.deposits"):
        deposits[d["patient"]][d["site"]] = d
    derived = derive(con)
    for p in rows(con, "from world.cohort"):
        got, sites = derived[p["patient"]], deposits[p["patient"]]
        for name in (
            "best_response_l1",
            "oligo_progression",
            "oligo_pattern",
            "second_progression",
            "second_pattern",
            "srt_response",
        ):
            assert got[name] == p[name], (p["patient"], name)
        assert got["baseline_of_rt"] == p["oligo_progression"]
        assert got["progressing"] == len(sites), p["patient"]
        assert got["sites"] == {s: d["response"] for s, d in sites.items() if d["treated"]}, p["patient"]


@pytest.fixture(scope="module")
def reference() -> duckdb.DuckDBPyConnection:
    con = memory()
    truth.build(con, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv", 20, UNITS)
    return con


def nothing(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert rows(con, sql) == []


def test_reference_truth_is_found_again(reference: duckdb.DuckDBPyConnection) -> None:
    assert_truth(reference)


def test_the_check_itself_can_fail(reference: duckdb.DuckDBPyConnection) -> None:
    reference.execute("begin; update world.measurements set diameter_mm = diameter_mm + 30 where visitnum = 1")
    with pytest.raises(AssertionError):
        assert_truth(reference)
    reference.execute("rollback")


@pytest.mark.parametrize("seed", [1, 2])
def test_random_truth_is_found_again(seed: int, tmp_path: Path) -> None:
    con = memory()
    truth.build(con, *cohort.random_cohort(con, 300, seed, tmp_path), seed, UNITS)
    assert_truth(con)
    kinds = con.execute(
        "select count(distinct second_pattern), count(*) - count(second_pattern) from world.cohort"
    ).fetchone()
    assert kinds is not None and kinds[0] == 3 and kinds[1] > 0


def test_same_seed_same_world_other_seed_another(tmp_path: Path) -> None:
    def world(seed: int) -> tuple[str, list[Row]]:
        con = memory()
        files = cohort.random_cohort(con, 40, seed, tmp_path)
        truth.build(con, *files, seed, UNITS)
        return files[0].read_text(), rows(con, "from world.measurements order by all")

    assert world(3) == world(3)
    assert world(3)[0] != world(4)[0] and world(3)[1] != world(4)[1]


def test_radiotherapy_fits_its_dates(reference: duckdb.DuckDBPyConnection) -> None:
    nothing(reference, "select 1 from world.fractions where isodow(fxdt) > 5")
    nothing(reference, "select usubjid, course_id, fxdt from world.fractions group by all having count(*) > 1")
    nothing(
        reference,
        """select p.patient from world.fractions join world.patients p using (usubjid)
        group by all having min(fxdt) <> any_value(p.rt_start) or max(fxdt) <> any_value(p.rt_end)""",
    )
    nothing(
        reference,
        """select c.usubjid from world.courses c join world.fractions f using (usubjid, course_id)
        group by c.usubjid, c.course_id
        having sum(f.dose_gy) <> any_value(planned_dose_gy) or count(*) <> any_value(planned_fractions)""",
    )


def test_targets_and_scans_follow_recist(reference: duckdb.DuckDBPyConnection) -> None:
    baseline = """world.measurements m join world.lesions l using (usubjid, lesion_id)
        where visitnum = 0 and lesion_role = 'target'"""
    nothing(reference, f"select m.usubjid from {baseline} group by all having count(*) > 5")
    nothing(reference, f"select m.usubjid, anatomic_site from {baseline} group by all having count(*) > 2")
    nothing(reference, f"select 1 from {baseline} and diameter_mm < case anatomic_site when 'node' then 15 else 10 end")
    nothing(
        reference,
        "select 1 from world.patients where pazopanib_start - baseline_scan not between 7 and 21",
    )
    nothing(
        reference, "select usubjid, lesion_id from world.lesions where measurable_fl = 'N' and anatomic_site <> 'bone'"
    )
    nothing(
        reference,
        """select 1 from world.measurements m join world.lesions l using (usubjid, lesion_id)
        where (m.diameter_mm is not null) <> (l.measurable_fl = 'Y')""",
    )


def test_worst_grade_of_each_group_is_the_cohorts(reference: duckdb.DuckDBPyConnection) -> None:
    study_schema.create_schema(reference)
    got = rows(
        reference,
        """select p.patient, g.toxicity_group, max(a.aetoxgr) as grade from world.adverse_events a
        join world.patients p using (usubjid) join study.toxicity_groups g on g.code = a.aedecod
        where a.aeendt is null or a.aeendt >= p.rt_start group by all""",
    )
    derived = {(r["patient"], r["toxicity_group"].split("_")[0]): r["grade"] for r in got}
    for p in rows(reference, "from world.cohort"):
        for name in (n for n in p if n.startswith("tox_")):
            assert derived.get((p["patient"], name.removeprefix("tox_")), 0) == p[name]


def test_drug_is_interrupted_for_the_days_given(reference: duckdb.DuckDBPyConnection) -> None:
    off = "(select usubjid, sum(exendt - exstdt + 1) as days from world.exposures where exdose_mg = 0 group by usubjid)"
    nothing(
        reference,
        f"""select 1 from world.patients p left join {off} o using (usubjid)
        where coalesce(o.days, 0) <> pazopanib_interrupted_days""",
    )


IMPOSSIBLE = [
    ("cohort", "oligo_progression = '2015-01-01'", "oligo_progression is not after"),
    ("cohort", "pazopanib_start = '2016-05-10', pfs1_days = 42, total_days = 210", "too early for a scan"),
    ("cohort", "rt_start = '2016-06-25'", "weekend"),
    ("cohort", "rt_end = '2016-08-04'", "more fractions than working days"),
    ("cohort", "best_response_l1 = 'great'", "best_response_l1 is not a known code"),
    ("cohort", "onc_unit = 'X'", "no unit of a centre"),
    ("cohort", "age = 'old'", "age cannot be read"),
    ("cohort", "ecog = null", "ecog is missing"),
    ("cohort", "baseline_sites = 'bone|node|elbow'", "unknown or repeated"),
    ("cohort", "srt_response = 'SD'", "not the worst response"),
    (
        "cohort",
        "second_progression = null, pfs2_days = null, total_days = null",
        "neither second_progression nor last_followup",
    ),
    (
        "cohort",
        "second_pattern = 'local', second_progression = '2016-09-01', pfs2_days = 72, total_days = 287",
        "before the restaging",
    ),
    (
        "cohort",
        "second_pattern = 'local', second_progression = '2016-10-04', pfs2_days = 105, total_days = 320",
        "no irradiated site is PD",
    ),
    ("lesions", "at_baseline = 0", "neither at baseline nor new"),
    ("lesions", "response = 'NE', finding = 'not_evaluable', measurable = 1", "NE at a measurable site"),
    ("lesions", "response = 'PD', finding = 'progressed'", "not the worst response"),
    ("lesions", "finding = 'stable', response = 'PR', measurable = 1", "finding disagrees"),
    ("lesions", "treated = 0", "n_treated_sites disagrees"),
]


@pytest.mark.parametrize(("file", "change", "reason"), IMPOSSIBLE)
def test_an_impossible_patient_is_refused_by_name_and_reason(
    file: str, change: str, reason: str, tmp_path: Path
) -> None:
    con = memory()
    for name in ("cohort", "lesions"):
        con.execute(
            f"create table {name} as from read_csv('{REFERENCE / name}.csv', all_varchar = true, header = true)"
        )
    site = " and site = 'node'" if file == "lesions" else ""
    con.execute(f"update {file} set {change} where patient = 'P01'{site}")
    for name in ("cohort", "lesions"):
        con.execute(f"copy {name} to '{tmp_path / name}.csv' (header true)")
    with pytest.raises(Infeasible, match=reason) as error:
        truth.build(con, tmp_path / "cohort.csv", tmp_path / "lesions.csv", 1, UNITS)
    assert error.value.patient == "P01"


def test_truth_is_written_in_the_shape_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.simulate import simulate

    rendered = []
    monkeypatch.setattr(
        simulate, "render", lambda con, export, out, bulk, defects: rendered.append((export.parent.name, bulk))
    )
    for unit, centre in UNITS.items():
        (tmp_path / "centres" / centre).mkdir(parents=True)
        (tmp_path / "centres" / centre / "export.yaml").write_text(f"centre: {centre}\nunit: {unit}\n")
    for out, source in (("first", REFERENCE), ("again", tmp_path / "first" / "truth")):
        simulate.simulate(tmp_path / out, source / "cohort.csv", source / "lesions.csv", centres=tmp_path / "centres")
    assert rendered[:7] == [(centre, False) for centre in sorted(UNITS.values())]
    written = (tmp_path / "first" / "truth" / "lesions.csv").read_text().splitlines()
    given = (REFERENCE / "lesions.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[0] for line in written] == given and written[0].endswith(",usubjid")
    for name in ("cohort.csv", "lesions.csv", "defects.csv"):
        assert (tmp_path / "first/truth" / name).read_bytes() == (tmp_path / "again/truth" / name).read_bytes()
