"""The sensor on the inbox, the nightly schedule, and what they do about runs that are gone or old."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines import study
from pipelines.centres import load
from pipelines.deliveries import inbox, ledger
from pipelines.deliveries.intake import intake
from pipelines.errors import MappingError
from pipelines.orchestration import lateness, orphans
from pipelines.orchestration.assets import centre_assets, freshness, has_sent
from pipelines.orchestration.automation import load_automation
from pipelines.orchestration.plan import centre_folders
from pipelines.orchestration.retention import forget_old_runs
from pipelines.orchestration.session import all_centres
from pipelines.orchestration.settings import load_settings
from pipelines.status import patience, standing
from pipelines.warehouse import Home

ONE, OTHER = sorted(centre_folders())[:2]
TABLE = dg.AssetKey(["derived", "adtte"])
DAY = timedelta(days=1)
KEYS = [TABLE, *(dg.AssetKey([layer, centre]) for layer in ("landed", "staged") for centre in centre_folders())]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("RESTAGE_HOME", str(tmp_path))
    monkeypatch.setenv("RESTAGE_AS_OF", "")
    return Home(tmp_path)


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def put(home: Home, centre: str, name: str, files: dict[str, bytes]) -> Path:
    folder = home.inbox / centre / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


class Look:
    """The sensor as the daemon asks it: the cursor is handed on from look to look."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self.monkeypatch, self.cursor = instance, monkeypatch, ""
        self.now = inbox.time.time()

    def __call__(self, later: float = 0) -> dict[str, dict[str, Any]]:
        """What is asked for so many seconds later: place in the inbox -> key, centres and tables of the run."""
        self.now += later
        self.monkeypatch.setattr(inbox.time, "time", lambda: self.now)
        (sensor,), _ = load_automation(KEYS)
        with dg.build_sensor_context(self.instance, self.cursor or None) as context:
            made = sensor.evaluate_tick(context)
        self.cursor = made.cursor
        self.said = made.skip_message
        return {
            f"{r.tags['restage/centre']}/{r.tags['restage/delivery']}": {
                "key": r.run_key,
                "staged": sorted(k.path[1] for k in r.asset_selection if k.path[0] == "staged"),
                "tables": TABLE in r.asset_selection,
            }
            for r in made.run_requests or []
        }


@pytest.fixture
def look(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Look:
    return Look(instance, monkeypatch)


def test_a_delivery_counts_once_it_has_been_still_and_is_asked_for_once(home: Home, look: Look) -> None:
    still = load_settings(home).still_seconds
    assert look() == {}
    assert look.said == "Nothing new."
    put(home, ONE, "d1", {"a.csv": b"a"})
    assert look(still - 5) == {}
    assert look.said == "1 deliveries are not whole yet."
    asked = look(10)[f"{ONE}/d1"]
    assert (asked["staged"], asked["tables"]) == ([ONE], True)
    assert look(still) == {}


def test_two_deliveries_at_the_same_minute_have_a_run_each(home: Home, look: Look) -> None:
    for centre in (ONE, OTHER):
        put(home, centre, "d1", {"a.csv": b"the same bytes"})
    asked = look(1000)
    assert asked.keys() == {f"{ONE}/d1", f"{OTHER}/d1"}
    assert [a["staged"] for a in asked.values()] == [[ONE], [OTHER]]
    assert len({a["key"] for a in asked.values()}) == 2


def test_the_key_is_the_content_and_other_content_is_asked_for_again(home: Home, look: Look) -> None:
    folder = put(home, ONE, "d1", {"a.csv": b"a"})
    first = look(1000)[f"{ONE}/d1"]["key"]
    (folder / "a.csv").write_bytes(b"corrected")
    second = look(1000)[f"{ONE}/d1"]["key"]
    (folder / "a.csv").write_bytes(b"a")
    assert look(1000)[f"{ONE}/d1"]["key"] == first != second


def test_what_came_before_is_asked_for_again_when_other_files_came_between(home: Home, look: Look) -> None:
    folder = put(home, ONE, "d1", {"a.csv": b"a"})
    keys = []
    for content in (b"a", b"b", b"a", b"b", b"a"):
        (folder / "a.csv").write_bytes(content)
        keys.append(look(1000)[f"{ONE}/d1"]["key"])
        assert intake(home, centre_folders())
        assert look(1000) == {}
    assert len(set(keys)) == 5


def test_a_manifest_that_is_met_needs_no_wait(home: Home, look: Look) -> None:
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.csv", "b.csv")}
    manifest = "files:\n" + "".join(f"  {name}: {sha}\n" for name, sha in sums.items())
    folder = put(home, ONE, "d1", {"a.csv": b"a.csv", "manifest.yaml": manifest.encode()})
    assert look() == {}
    (folder / "b.csv").write_bytes(b"b.c")
    assert look() == {}
    (folder / "b.csv").write_bytes(b"b.csv")
    assert look().keys() == {f"{ONE}/d1"}
    (put(home, OTHER, "d2", {"a.csv": b"a.csv", "c.csv": b"c", "manifest.yaml": manifest.encode()}) / "b.csv").touch()
    assert look() == {}


def test_what_was_taken_in_by_hand_is_not_asked_for(home: Home, look: Look) -> None:
    put(home, ONE, "d1", {"a.csv": b"a"})
    intake(home, centre_folders())
    assert look(1000) == {}


def test_a_home_that_was_copied_does_not_ask_for_everything_again(home: Home, look: Look) -> None:
    folder = put(home, ONE, "d1", {"a.csv": b"a"})
    intake(home, centre_folders())
    (folder / "a.csv").touch()
    assert look(1000) == {}
    (folder / "a.csv").write_bytes(b"corrected")
    assert look(1000).keys() == {f"{ONE}/d1"}


def test_a_folder_of_no_centre_gets_a_run_that_says_so(home: Home, look: Look) -> None:
    put(home, "nowhere", "d1", {"a.csv": b"a"})
    assert look(1000)["nowhere/d1"]["staged"] == []


def night(instance: dg.DagsterInstance) -> Any:
    _, (schedule,) = load_automation(KEYS)
    return schedule.evaluate_tick(dg.build_schedule_context(instance, datetime(2017, 5, 1, 2, 30, tzinfo=UTC)))


def test_the_night_runs_once_and_only_over_what_is_not_up_to_date(home: Home, instance: dg.DagsterInstance) -> None:
    assert night(instance).skip_message == "Nothing new."
    put(home, ONE, "d1", {"a.csv": b"a"})
    put(home, "nowhere", "d1", {"a.csv": b"a"})
    (request,) = night(instance).run_requests
    assert request.run_key == "nightly 2017-05-01"
    assert {k.path[1] for k in request.asset_selection if k.path[0] in ("landed", "staged")} == {ONE}
    intake(home, centre_folders())
    (request,) = night(instance).run_requests
    assert dg.AssetKey(["staged", ONE]) in request.asset_selection


def test_times_are_declared_and_a_home_may_differ(home: Home) -> None:
    (home.root / "operation.yaml").write_text('nightly: "15 4 * * 1"\nlook_every_seconds: 7\n')
    (sensor,), (schedule,) = load_automation(KEYS)
    assert (sensor.minimum_interval_seconds, schedule.cron_schedule) == (7, "15 4 * * 1")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize("text", ["still_second: 3\n", "still_seconds: soon\n", "nightly: at night\n"])
def test_settings_that_mean_nothing_are_refused(home: Home, text: str) -> None:
    (home.root / "operation.yaml").write_text(text)
    with pytest.raises(MappingError, match=r"operation\.yaml"):
        load_settings(home)


def started(instance: dg.DagsterInstance) -> str:
    run = instance.create_run_for_job(dg.GraphDefinition(name="g").to_job(), status=dg.DagsterRunStatus.STARTED)
    return run.run_id


HOLD = """
import sys
from pathlib import Path
from pipelines.orchestration.orphans import show_alive
from pipelines.warehouse import Home
show_alive(Home(Path(sys.argv[1])), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_run_whose_process_is_gone_is_failed_and_one_that_lives_is_not(
    home: Home, instance: dg.DagsterInstance
) -> None:
    run_id, soon = started(instance), inbox.time.time() + orphans.GRACE + 5
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.root), run_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert orphans.fail_orphans(instance, home, soon) == []
    process.kill()
    process.communicate()
    assert orphans.fail_orphans(instance, home) == [], "a run that has just begun may not have its lock yet"
    assert orphans.fail_orphans(instance, home, soon) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert list((home.dagster / "alive").iterdir()) == []


def test_old_runs_are_forgotten_but_those_that_assets_rest_on(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def one() -> None: ...

    @dg.asset
    def other() -> None: ...

    first = dg.materialize([one, other], instance=instance).run_id
    second = dg.materialize([one], instance=instance).run_id
    third = dg.materialize([one], instance=instance).run_id
    assert forget_old_runs(instance, 30) == []
    assert forget_old_runs(instance, 30, datetime.now(UTC) + timedelta(days=31)) == [second]
    assert {run.run_id for run in instance.get_runs()} == {first, third}


def test_a_centre_that_falls_silent_turns_yellow_and_then_red(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the day of its data, as `restage status` has it, not by the day of receipt; each change is told once."""
    cut = date(2020, 3, 1)
    put(home, ONE, f"{cut}_export", {"a.csv": b"a"})
    (taken,) = intake(home, centre_folders())
    ledger.append(home, taken.decided("accepted", (), "", 1))
    centre, cursor, told = all_centres()[ONE], "", []
    silent = patience(centre.cadence_days, load_settings(home).late_after_pct)
    for days in (silent, silent + DAY, silent + 2 * DAY, silent * 1.5 + DAY):
        today = cut + days
        monkeypatch.setattr(lateness, "date", type("Day", (date,), {"today": staticmethod(lambda day=today: day)}))
        with dg.build_sensor_context(instance, cursor or None) as context:
            made = lateness.lateness_sensor.evaluate_tick(context)
        cursor = made.cursor or ""
        late = standing(home, centre, load_settings(home).late_after_pct, today).freshness == "late"
        for event in made.asset_events:
            if event.asset_key == dg.AssetKey(["landed", ONE]):
                assert event.passed is not late
                told.append((days, event.passed, event.severity.value))
    assert told == [(silent, True, "WARN"), (silent + DAY, False, "WARN"), (silent * 1.5 + DAY, False, "ERROR")]


def test_a_centre_from_which_nothing_was_received_turns_yellow_and_then_red(home: Home) -> None:
    settings = load_settings(home)
    for centre in all_centres().values():
        policy = freshness(centre, settings.late_after_pct)
        specs = {spec.key.path[0]: spec for spec in centre_assets(centre, settings).specs}
        assert specs["landed"].freshness_policy == policy
        assert policy.warn_window.to_timedelta() > timedelta(days=centre.cadence_days)  # type: ignore[attr-defined]
        assert policy.fail_window.to_timedelta() > policy.warn_window.to_timedelta()  # type: ignore[attr-defined]


def test_a_centre_that_has_sent_nothing_is_not_called_fresh(home: Home) -> None:
    said = lateness.told(home, ONE)
    assert (said["passed"], said["severity"].value, said["description"]) == (False, "WARN", "Nothing yet.")


def test_a_centre_that_does_not_say_how_often_it_delivers_does_so_as_the_protocol_has_it(tmp_path: Path) -> None:
    folder = tmp_path / ONE
    shutil.copytree(study.ROOT / "centres" / ONE, folder)
    path = folder / "centre.yaml"
    said = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^cadence_days: .*\n", "", said, flags=re.MULTILINE), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != said
    assert load(folder).cadence_days == study.protocol()["cadence_days"]["value"]


def test_only_something_sent_makes_a_centre_fresh(home: Home, instance: dg.DagsterInstance) -> None:
    landed = dg.AssetKey(["landed", ONE])
    assert has_sent(instance, landed, home, ONE)
    put(home, ONE, "d1", {"a.csv": b"a"})
    intake(home, centre_folders())
    instance.report_runless_asset_event(dg.AssetMaterialization(landed))
    assert not has_sent(instance, landed, home, ONE)
    put(home, ONE, "d2", {"a.csv": b"b"})
    put(home, OTHER, "d2", {"a.csv": b"b"})
    intake(home, centre_folders())
    assert has_sent(instance, landed, home, ONE)
