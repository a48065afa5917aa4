"""The command's contract: what it prints, what it leaves, and its exit codes."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.cli.console import answering
from pipelines.cli.main import app
from pipelines.orchestration.plan import code_version
from tests.conftest import Restage

HEAVY = ("dagster", "great_expectations", "matplotlib", "pandas", "lifelines", "pydicom", "jsonschema")


def test_the_version_is_the_one_of_the_package_and_the_code_the_one_that_a_freeze_cites() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert said.exit_code == 0
    assert said.output == f"restage {version('restage')}, code {code_version()}\n"


def test_demo_ends_with_the_headline_figures_and_where_the_reports_are(demo_run: tuple[Path, str]) -> None:
    home, printed = demo_run
    for text in ("PFS1", "PFS2", "PFSTOT", "Eligible subjects", "reports/index.html"):
        assert text in printed
    for name in ("warehouse.duckdb", "reports/index.html", "dagster/history", "archive/ledger.jsonl"):
        assert (home / name).exists()


def test_a_second_run_does_nothing_and_says_so(demo_home: Path, tmp_path: Path, restage: Restage) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_home, home, copy_function=shutil.copy2)
    restage("run", "--home", home)  # a copy has other times of writing: every file is looked at again
    before = {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}
    for command in ("run", "demo"):
        done = restage(command, "--home", home)
        assert done.returncode == 0
        assert "Nothing new" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()} == before


def test_a_run_without_a_study_says_where_deliveries_go(tmp_path: Path, restage: Restage) -> None:
    """Nobody takes a mistyped home for a study without news."""
    said = [restage("run", "--home", tmp_path / "home").stdout for _ in range(2)]
    assert "There was no inbox" in said[0] and "home/inbox/<centre>/<name>/" in said[0]
    assert said[1] == "Nothing new.\n"


def test_a_run_with_nothing_new_imports_no_heavy_library(demo_home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.cli.run import bring_up_to_date;"
        "from pipelines.warehouse import Home; assert bring_up_to_date(Home(Path(sys.argv[1]))) == 0;"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(demo_home)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Nothing new" in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--no-such-option"),
        ("simulate", "--out", "x"),
        ("simulate", "--out", "x", "--patients", "0"),
        ("fly",),
    ],
)
def test_wrong_usage_ends_with_two_and_no_traceback(
    arguments: tuple[str, ...], restage: Restage, tmp_path: Path
) -> None:
    done = restage(*(str(tmp_path / a) if a == "x" else a for a in arguments))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_empty_home_has_nothing_to_do(restage: Restage, tmp_path: Path) -> None:
    done = restage("run", "--home", tmp_path / "home")
    assert (done.returncode, "Nothing new" in done.stdout) == (0, True)


COMMANDS = {
    f"centre {name}" if group == "centre" else name: command
    for group, top in get_command(app).commands.items()  # type: ignore[attr-defined]
    for name, command in getattr(top, "commands", {group: top}).items()
}
SERVES = {"watch", "ui"}  # they answer nothing, and end when they are stopped


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_can_be_typed(name: str) -> None:
    command = COMMANDS[name]
    lines = [line.strip().removeprefix("Example: ") for line in (command.help or "").splitlines()]
    examples = [shlex.split(line) for line in lines if line.startswith("restage ")]
    assert examples, "no example"
    for words in examples:
        start = len(f"restage {name}".split())
        assert words[:start] == f"restage {name}".split()
        command.make_context(name, words[start:]).close()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_answers_does_so_for_machines(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) != (name in SERVES)


ADTTE = "USUBJID,PARAMCD,AVAL,CNSR\nX1,PFS,3,0\nX2,PFS,5,0\nX3,PFS,-,0\nX4,PFS,8,1\n"  # invented; one without a time
TU = "USUBJID,TULNKID,TUORRES,TULOC,VISITNUM,TUDTC\nX1,T01,TARGET,LUNG,1,2020-01-01\n"
TR = (
    "USUBJID,TRLNKID,TRTESTCD,TRSTRESN,TRSTRESC,VISITNUM,TRDTC\nX1,T01,LDIAM,40,40,1,2020-01-01\n"
    "X1,T01,LDIAM,20,20,2,2020-03-01\n"
)
Told = dict[str, Any]
ANSWERS: dict[str, tuple[str, Callable[[Told], list[str]]]] = {
    # command, and what its document says in the words of the printed answer
    "run": ("run --home HOME", lambda told: [] if told["changed"] else ["Nothing new."]),
    "demo": ("demo --home HOME", lambda told: [f["value"] for f in told["figures"]]),
    "status": (
        "status --home HOME",
        lambda told: [f"{c['data_cut']}  {c['delivery']}" for c in told["centres"]] + ["up to date"],
    ),
    "doctor": ("doctor --home HOME", lambda told: [f"{f['check']}: {f['what']}" for f in told["findings"][:2]]),
    "trace": (
        "trace --home HOME --cell table2/bone/PR",
        lambda told: [f"n {told['cell']['value']},", f"{len(told['subjects'])} subjects"],
    ),
    "check": ("centre check me1", lambda told: [f"{told['centre']}: everything is mapped"]),
    "recist": (
        "recist --tumours NEW/tu.csv --measurements NEW/tr.csv --out NEW/rs.csv",
        lambda told: [f"{told['subjects']} subjects, {told['responses']} responses"],
    ),
    "survival": (
        "survival --adtte NEW/adtte.csv --out NEW/km.csv",
        lambda told: [
            f"{told['rows']} rows, from {told['records']} of",
            f"{told['rejected']} rows that",
        ],
    ),
    "simulate": (
        "simulate --patients 12 --out NEW/invented",
        lambda told: [f"{told['patients']} patients, {len(told['centres'])} centres, ex", told["extract_date"]],
    ),
    "no study": ("status --home NEW/none", lambda told: [told["error"]]),
    "no query": ("accept Q0 --by A --reason B --home HOME", lambda told: [told["error"]]),
    "no warehouse": ("trace --subject X --home NEW/none", lambda told: [told["error"]]),
    "no home to withdraw from": ("withdraw X --home NEW/none", lambda told: [told["error"]]),
    "not signed": ("freeze first --home HOME", lambda told: [told["error"]]),
    "no archive": ("rebuild --home NEW/none", lambda told: [told["error"]]),
    "no backup": ("restore NEW/none.tar.gz --home NEW/none", lambda told: [told["error"]]),
    "no report": ("open --centre me9 --home HOME", lambda told: [told["error"]]),
    "no mail": ("send --home HOME --dry-run", lambda told: [told["error"]]),
    "no centre": ("centre new ! --from NEW/tu.csv", lambda told: [told["error"]]),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_document_for_machines_says_what_is_printed(
    case: str, demo_home: Path, tmp_path: Path, restage: Restage
) -> None:
    for name, text in (("adtte", ADTTE), ("tu", TU), ("tr", TR)):
        (tmp_path / f"{name}.csv").write_text(text)
    line, words = ANSWERS[case]
    arguments = line.replace("HOME", str(demo_home)).replace("NEW", str(tmp_path)).split()
    machine, human = restage(*arguments, "--json"), restage(*arguments)
    told = json.loads(machine.stdout)
    assert told["exit_code"] == machine.returncode == human.returncode
    assert ("error" in told) == (human.returncode == 2)
    assert not (tmp_path / "none").exists()
    expected = words(told)
    assert expected
    for text in expected:
        assert str(text) in human.stdout + human.stderr


@pytest.mark.long
def test_a_rejected_delivery_is_told_to_machines_with_its_exit_code(restage: Restage, tmp_path: Path) -> None:
    folder = tmp_path / "inbox" / "me1" / "2020-01-31_export"
    folder.mkdir(parents=True)
    (folder / "nothing.csv").write_text("invented\n")
    done = restage("run", "--home", tmp_path, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == told["exit_code"] == 3
    (delivery,) = told["deliveries"]
    assert (delivery["centre"], delivery["name"], delivery["state"]) == ("me1", folder.name, "rejected")
    for reason in delivery["reasons"]:
        assert reason in done.stderr


def test_open_for_machines_names_the_page(demo_home: Path, restage: Restage) -> None:
    told = json.loads(restage("open", "--study", "--home", demo_home, "--json").stdout)
    assert told == {"page": str(demo_home / "reports" / "study" / "report.html"), "exit_code": 0}


def test_a_fault_of_ours_is_told_without_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), answering(as_json=True):
        print("before")
        raise KeyError("a value of a patient")
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == 1
    assert "patient" not in said.out
    assert said.err == "before\n"


def test_a_command_that_is_stopped_answers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), answering(as_json=True):
        raise KeyboardInterrupt
    assert capsys.readouterr().out == ""


def test_a_long_step_shows_on_a_terminal_and_nowhere_else(tmp_path: Path, restage: Restage) -> None:
    arguments = ("simulate", "--patients", "12", "--out")
    assert restage(*arguments, tmp_path / "quiet").stderr == ""
    ours, theirs = os.openpty()
    code = "from pipelines.cli.main import main; main()"
    with os.fdopen(theirs, "wb") as terminal:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, str(tmp_path / "seen")],
            stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"}, timeout=120, check=True,
        )  # fmt: skip
        terminal.flush()
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "Writing deliveries" in shown
    assert done.stdout.decode().startswith("12 patients")
