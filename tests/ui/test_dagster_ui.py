"""The Dagster UI over a finished study: lineage, figures and checks are there, and a browser shows them."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import START_SECONDS, post, served

from pipelines import models, study
from pipelines.centres import load_all
from pipelines.orchestration.columns import staged_schema
from pipelines.orchestration.plan import CENTRES

Ask = Callable[[str], dict[str, Any]]
SCREENS = study.ROOT / "build" / "screens"
FLOW = ("landed", "staged", *models.LAYERS, "files")
WHERE = '(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "restage"})'


@pytest.fixture(scope="module")
def address(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A webserver and a daemon of their own over a copy of the demo study, whose night comes every minute."""
    home = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(demo_home, home)
    # copied files look new by their times, and the night would look at them again
    shutil.rmtree(home / "inbox")
    (home / "inbox").mkdir()
    (home / "operation.yaml").write_text('nightly: "* * * * *"\n', encoding="utf-8")
    with served(home) as url:
        yield url


@pytest.fixture(scope="module")
def ask(address: str) -> Ask:
    return lambda query: post(address, query)


@pytest.fixture(scope="module")
def assets(ask: Ask) -> dict[str, dict[str, Any]]:
    nodes = ask("""{ assetNodes {
        assetKey { path } groupName description dependencyKeys { path }
        assetMaterializations(limit: 1) { metadataEntries { __typename label ... on IntMetadataEntry { intValue } } }
        assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } }
    } }""")["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node for node in nodes}


def test_every_declared_table_and_every_centre_is_an_asset(assets: dict[str, dict[str, Any]]) -> None:
    centres = [p.parent.name for p in (study.ROOT / "centres").glob("[!_]*/centre.yaml")]
    wanted = {name.replace(".", "/") for name in study.tables()}
    wanted |= {f"{layer}/{centre}" for layer in ("landed", "staged") for centre in centres}
    assert wanted <= assets.keys()


def test_assets_lie_in_their_layers_with_a_description_and_were_made_with_row_counts(
    assets: dict[str, dict[str, Any]],
) -> None:
    for key, node in assets.items():
        assert node["description"], key
        assert node["assetMaterializations"], f"{key} was not made by the demo"
        if key.replace("/", ".") in study.tables():
            assert node["groupName"] == key.split("/")[0]
            labels = {e["label"] for e in node["assetMaterializations"][0]["metadataEntries"]}
            assert {"dagster/row_count", "dagster/column_schema"} <= labels, key


def test_lineage_runs_from_the_centres_to_the_endpoints(assets: dict[str, dict[str, Any]]) -> None:
    def upstream(key: str) -> set[str]:
        direct = {"/".join(d["path"]) for d in assets[key]["dependencyKeys"]} if key in assets else set()
        return direct.union(*map(upstream, direct)) if direct else set()

    above = upstream("reports/pfs_summary")
    assert "derived/adtte" in above
    assert {k for k in assets if k.startswith("landed/")} <= above


def test_every_check_ran(assets: dict[str, dict[str, Any]]) -> None:
    checks = [(key, check) for key, node in assets.items() for check in node["assetChecksOrError"].get("checks", [])]
    assert {c["name"] for k, c in checks if k.startswith("staged/")} == {"stop_rules"}
    assert any(k.startswith("assessed/") or k.startswith("harmonised/") for k, _ in checks)
    assert [(k, c["name"]) for k, c in checks if not c["executionForLatestMaterialization"]] == []


def test_the_demo_is_one_run_that_succeeded(ask: Ask) -> None:
    runs = ask("{ runsOrError { ... on Runs { results { status } } } }")["runsOrError"]["results"]
    assert [run["status"] for run in runs] == ["SUCCESS"]


def test_sensor_and_schedule_are_on(ask: Ask) -> None:
    found = ask(f"""{{
        sensorsOrError{WHERE} {{ ... on Sensors {{ results {{ name sensorState {{ status }} }} }} }}
        schedulesOrError{WHERE} {{ ... on Schedules {{ results {{ name scheduleState {{ status }} }} }} }}
    }}""")
    assert found["sensorsOrError"]["results"] == [
        {"name": name, "sensorState": {"status": "RUNNING"}} for name in ("inbox", "lateness")
    ]
    assert found["schedulesOrError"]["results"] == [{"name": "nightly", "scheduleState": {"status": "RUNNING"}}]


def test_a_centre_says_of_what_kind_it_is_and_everything_has_an_owner(ask: Ask) -> None:
    nodes = ask("""{ assetNodes { assetKey { path } kinds tags { key value }
        owners { ... on TeamAssetOwner { team } } } }""")["assetNodes"]
    assert {tuple(o["team"] for o in node["owners"]) for node in nodes} == {("coordinating-centre",)}
    kinds = {
        node["assetKey"]["path"][1]: {t["key"]: t["value"] for t in node["tags"]}["restage/centre_kind"]
        for node in nodes
        if node["assetKey"]["path"][0] == "staged"
    }
    assert {kinds["me1"], kinds["rt1"]} == {"oncology", "radiotherapy"}
    assert all(node["kinds"] for node in nodes)


def test_a_check_counts_by_severity_and_centre_and_leads_to_the_reports_of_those_who_are_asked(ask: Ask) -> None:
    nodes = ask("""{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name
        executionForLatestMaterialization { status evaluation { success metadataEntries { label
            ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } ... on PathMetadataEntry { path }
    } } } } } } } }""")["assetNodes"]
    failed = 0
    for node in nodes:
        for check in node["assetChecksOrError"].get("checks", []):
            if node["assetKey"]["path"][0] in ("landed", "staged"):
                continue
            found = check["executionForLatestMaterialization"]["evaluation"]
            said = {e["label"]: e.get("intValue", e.get("text", e.get("path"))) for e in found["metadataEntries"]}
            by_severity = [n for label, n in said.items() if label.startswith("n_failed_")]
            by_centre = {label.removeprefix("failed_"): n for label, n in said.items() if label.startswith("failed_")}
            assert sum(by_severity) == said["n_failed"]
            told = [tuple(map(int, m)) for text in by_centre.values() for m in re.findall(r"(\d+) of (\d+)", text)]
            assert (sum(f for f, _ in told), sum(n for _, n in told)) == (said["n_failed"], said["n_checked"])
            asked = {c for c, text in by_centre.items() if re.search(r": [1-9]\d* of", text)}
            reports = {
                label.removeprefix("report_"): path for label, path in said.items() if label.startswith("report_")
            }
            assert reports.keys() >= asked - {"study"}
            assert all(Path(path).is_file() for path in reports.values())
            failed += bool(asked)
    assert failed > 0


def test_a_centre_says_what_was_taken_in_and_held_against_what_rejects(ask: Ask) -> None:
    number = "metadataEntries { label ... on IntMetadataEntry { intValue } }"
    nodes = ask(f"""{{ assetNodes {{ assetKey {{ path }} assetMaterializations(limit: 1) {{ {number} }}
        assetChecksOrError {{ ... on AssetChecks {{ checks {{ name executionForLatestMaterialization {{
            evaluation {{ success {number} }} }} }} }} }} }} }}""")["assetNodes"]

    def numbers(told: dict[str, Any]) -> dict[str, int]:
        return {e["label"]: e["intValue"] for e in told["metadataEntries"] if "intValue" in e}

    checks = {
        (*node["assetKey"]["path"], c["name"]): c["executionForLatestMaterialization"]["evaluation"]
        for node in nodes for c in node["assetChecksOrError"].get("checks", [])
    }  # fmt: skip
    landed = {path[1]: n for n in nodes if (path := n["assetKey"]["path"])[0] == "landed"}
    for centre, node in landed.items():
        accepted, held = checks["landed", centre, "deliveries_accepted"], checks["staged", centre, "stop_rules"]
        assert accepted["success"] and numbers(accepted) == {"n_taken_in": 1}
        n_rows = numbers(node["assetMaterializations"][0])["dagster/row_count"]
        assert held["success"] and numbers(held)["n_checked"] == n_rows > 0


def test_what_staging_adds_to_a_centres_rows_is_described() -> None:
    shown = [c for about in load_all(CENTRES).values() for c in staged_schema(about).columns]
    assert {bool(c.description) for c in shown if c.name.endswith("._since")} == {True}


def test_the_tables_of_the_study_are_shown_without_a_range_whose_ends_are_patients(ask: Ask) -> None:
    (node,) = ask("""{ assetNodes(assetKeys: [{path: ["files", "study"]}]) { assetMaterializations(limit: 1) {
        metadataEntries { label ... on MarkdownMetadataEntry { mdStr } } } } }""")["assetNodes"]
    shown = {e["label"]: e["mdStr"] for e in node["assetMaterializations"][0]["metadataEntries"] if "mdStr" in e}
    assert "| Patients | Enrolled | 28 | 28 | 100.0 |" in shown["table1"].splitlines()
    assert {"table1", "table2", "table3", "km_pfs1"} <= shown.keys()
    assert not any("range" in text or "median" in text.lower() for k, text in shown.items() if k.startswith("table"))


def last_tick(ask: Ask, kind: str, found: str, state: str, name: str) -> dict[str, Any]:
    """The last tick of a sensor or schedule that has come to its end; waits for it."""
    ticks = f"{state} {{ ticks(limit: 1) {{ status skipReason }} }}"
    query = f"{{ {kind}{WHERE} {{ ... on {found} {{ results {{ name {ticks} }} }} }} }}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        (only,) = (each for each in ask(query)[kind]["results"] if each["name"] == name)
        ticks = only[state]["ticks"]
        if ticks and ticks[0]["status"] != "STARTED":
            return dict(ticks[0])
        assert time.monotonic() < deadline, f"no tick of {kind}"
        time.sleep(0.5)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1600, "height": 1300})
    page.set_default_timeout(90_000)
    yield page
    page.close()


def shoot(page: Any, name: str) -> None:
    """Keep what is seen, once nothing moves any more, for whoever wants to look."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(600)
    page.screenshot(path=SCREENS / f"{name}.png")


def test_the_lineage_shows_the_groups_in_the_order_of_the_flow(page: Any, address: str) -> None:
    page.goto(f"{address}/asset-groups", wait_until="domcontentloaded")
    found = {}
    for name in FLOW:
        drawn = page.locator("foreignObject", has_text=re.compile(rf"^{name}\b")).first
        drawn.wait_for()
        found[name] = drawn.bounding_box()["x"]
    shoot(page, "lineage")
    assert sorted(found, key=lambda name: found[name]) == list(FLOW)


def test_a_table_shows_its_columns_and_what_they_are_made_from(page: Any, address: str) -> None:
    page.goto(f"{address}/assets/derived/adtte", wait_until="domcontentloaded")
    row = page.get_by_role("row").filter(has_text="aval_months").filter(has_text="double")
    row.wait_for()
    shoot(page, "columns")
    assert "← derived.endpoint_times: adt, startdt; study.protocol: days_per_month" in row.inner_text()
    assert page.get_by_text("coordinating-centre").is_visible()


def test_a_check_shows_its_counts(page: Any, address: str) -> None:
    page.goto(f"{address}/assets/harmonised/measurements?view=checks", wait_until="domcontentloaded")
    page.get_by_text("failed_me1").wait_for()
    shoot(page, "check")
    assert page.get_by_text(re.compile(r"query: \d+ of \d+")).count() >= 3


def test_the_study_shows_its_curve_and_its_tables(page: Any, address: str) -> None:
    page.goto(f"{address}/assets/files/study", wait_until="domcontentloaded")
    for label in ("km_pfs1", "table1"):
        page.get_by_role("row").filter(has_text=label).get_by_text("[Show Markdown]").first.click()
        dialog = page.get_by_role("dialog")
        if label == "km_pfs1":
            dialog.locator("img").wait_for()
            width = dialog.locator("img").evaluate("async e => { await e.decode(); return e.naturalWidth; }")
            assert width == 1000
        else:
            dialog.get_by_text("Enrolled").wait_for()
        shoot(page, label)
        dialog.get_by_text("Close").click()


def test_sensor_and_schedule_show_their_last_tick(page: Any, address: str, ask: Ask) -> None:
    for kind, found, name in (("sensors", "Sensors", "inbox"), ("schedules", "Schedules", "nightly")):
        tick = last_tick(ask, f"{kind}OrError", found, f"{kind[:-1]}State", name)
        assert tick == {"status": "SKIPPED", "skipReason": "Nothing new."}
        page.goto(f"{address}/locations/restage/{kind}/{name}", wait_until="domcontentloaded")
        page.get_by_role("row").filter(has_text=re.compile("Skipped|0 runs requested")).first.wait_for()
        shoot(page, name)
