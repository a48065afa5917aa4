"""The Dagster UI over a finished study: lineage, figures and checks are there, and a browser shows them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import study

Ask = Callable[[str], dict[str, Any]]
START_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(address: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = json.load(answer)
    assert "errors" not in body, body
    return dict(body["data"])


@pytest.fixture(scope="module")
def address(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A webserver of its own over a copy of the demo study."""
    home = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(demo_home, home)
    port = free_port()
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "ui", "--home", str(home)]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                post(url, "{ version }")
                break
            except OSError:
                assert server.poll() is None, "the webserver ended"
                assert time.monotonic() < deadline, "the webserver did not answer"
                time.sleep(0.3)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


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


def test_sensor_and_schedule_are_on_and_the_sensor_has_looked(ask: Ask) -> None:
    where = '(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "restage"})'
    query = f"""{{
        sensorsOrError{where} {{ ... on Sensors {{ results {{
            name sensorState {{ status ticks(limit: 1) {{ status skipReason }} }} }} }} }}
        schedulesOrError{where} {{ ... on Schedules {{ results {{
            name cronSchedule scheduleState {{ status }} }} }} }}
    }}"""
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = ask(query)
        (sensor,) = found["sensorsOrError"]["results"]
        if sensor["sensorState"]["ticks"] and sensor["sensorState"]["ticks"][0]["status"] != "STARTED":
            break
        assert time.monotonic() < deadline, "the sensor has not looked"
        time.sleep(0.5)
    assert (sensor["name"], sensor["sensorState"]["status"]) == ("inbox", "RUNNING")
    assert sensor["sensorState"]["ticks"] == [{"status": "SKIPPED", "skipReason": "Nothing new."}]
    (schedule,) = found["schedulesOrError"]["results"]
    assert (schedule["name"], schedule["scheduleState"]["status"]) == ("nightly", "RUNNING")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the system's Chromium")
def test_a_browser_shows_the_lineage(address: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{address}/assets/derived/adtte", wait_until="domcontentloaded")
        expect(page.get_by_text("adtte").first).to_be_visible(timeout=60_000)
        shot = page.screenshot(path=tmp_path / "adtte.png")
        browser.close()
    assert len(shot) > 10_000
