"""What a user can put right is said in plain words with exit code 2, and a run that is stopped says so."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.cli.main import main
from pipelines.orchestration.plan import read_state
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home
from tests.acceptance.test_cli import ADTTE, SERVES, TR, TU

# root may read and write everything, unless these two are taken away
CAPABILITIES = "-dac_override,-dac_read_search"
UNPRIVILEGED = ("setpriv", f"--inh-caps={CAPABILITIES}", f"--bounding-set={CAPABILITIES}") if os.geteuid() == 0 else ()
STOPPABLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
CODE = "from pipelines.cli.main import main; main()"
RECIST = "recist --tumours NEW/tu.csv --measurements NEW/tr.csv"
Plain = tuple[int, str, str]

WRONG = {
    **{
        f"a file as the home: {line}": (f"{line} --home NEW/file", "NEW/file: is a file")
        for line in (
            "status", "trace --subject X", "run", "demo", "watch", "ui", "withdraw X", "rebuild", "doctor", "open",
            "freeze x --by A --reason B", "accept Q0 --by A --reason B", "backup --to NEW/b.tar.gz", "send",
            "restore NEW/file",
        )
    },
    "a home below a file": ("run --home NEW/file/home", "NEW/file: is a file where a folder"),
    "no options": (f"{RECIST} --out NEW/rs.csv --options NEW/none.yaml", "NEW/none.yaml: no such file"),
    "a folder of options": (f"{RECIST} --out NEW/rs.csv --options NEW", "NEW: no such file"),
    "options in another encoding": (f"{RECIST} --out NEW/rs.csv --options NEW/latin.yaml", "not valid YAML in UTF-8"),
    "responses into a folder": (f"{RECIST} --out NEW", "NEW: is a folder"),
    "responses into this folder": (f"{RECIST} --out .", ".: is a folder"),
    "figures into a folder": ("survival --adtte NEW/adtte.csv --out NEW/folder", "NEW/folder: is a folder"),
    "responses below nothing": (f"{RECIST} --out NEW/none/rs.csv", "none/rs.csv: cannot be written"),
    "figures below nothing": ("survival --adtte NEW/adtte.csv --out NEW/none/x.csv", "none/x.csv: cannot be written"),
    "a name that no disk holds": (f"{RECIST} --out NEW/{'x' * 300}.csv", "cannot be written"),
    "figures of such a name": (f"survival --adtte NEW/adtte.csv --out NEW/{'x' * 300}.csv", "cannot be written"),
    "no place for the rejected": (f"{RECIST} --out NEW/taken.csv", "taken.csv.rejected.csv: is a folder"),
    "deliveries into a file": ("simulate --patients 3 --out NEW/file", "NEW/file: is a file where a folder"),
    "a centre into a file": (
        "centre new x9 --from NEW/tu.csv --into NEW/file", "NEW/file: is a file where a folder",
    ),
    "no day": ("run --home NEW/none --as-of=", "'': a date as YYYY-MM-DD"),
    "no day to rebuild": ("rebuild --home NEW/none --as-of=", "'': a date as YYYY-MM-DD"),
    "two reports": ("open --study --centre me1 --home NEW", "--study or --centre"),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in (("adtte.csv", ADTTE), ("tu.csv", TU), ("tr.csv", TR), ("file", "invented\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.yaml").write_bytes("sd_after_pr: \u00e0\n".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken.csv.rejected.csv").mkdir()
    return tmp_path


def spoken(line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plain:
    """Exit code, standard output and standard error of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["restage", *line.replace("NEW", str(place)).split()])
    with pytest.raises(SystemExit) as end:
        main()
    return (int(end.value.code or 0), *capsys.readouterr())


@pytest.mark.parametrize("case", WRONG)
def test_what_a_user_can_put_right_is_said_in_plain_words(
    case: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line, words = WRONG[case][0], WRONG[case][1].replace("NEW", str(place))
    code, _, said = spoken(line, place, monkeypatch, capsys)
    assert (code, said.count("\n"), words in said) == (2, 1, True), said
    if line.split()[0] not in SERVES:
        code, told, _ = spoken(f"{line} --json", place, monkeypatch, capsys)
        assert (code, words in json.loads(told)["error"]) == (2, True)


def bound(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """The command as somebody whom modes of files bind."""
    command = [*UNPRIVILEGED, sys.executable, "-c", CODE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_a_warehouse_that_one_may_not_read_is_not_called_damaged(place: Path) -> None:
    home = Home(place)
    home.database.write_bytes(b"of another user")
    home.database.chmod(0)
    for line in (("trace", "--subject", "X"), ("status",)):
        done = bound(*line, "--home", place)
        assert (done.returncode, done.stderr) == (2, f"restage: {home.database}: this user may not read it. Run as the "
                                                     "user that owns the home.\n")  # fmt: skip
    found = json.loads(bound("doctor", "--home", place, "--json").stdout)["findings"]
    (wrong,) = [f for f in found if f["check"] == "warehouse"]
    assert wrong["state"] == "wrong" and "may not read" in wrong["what"] and "rebuild" not in wrong["advice"]


def test_a_file_of_the_inbox_that_may_not_be_read_is_named(place: Path) -> None:
    folder = place / "folder" / "inbox" / "me1" / "2020-01-31_export"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("invented\n")
    (folder / "a.csv").chmod(0)
    run = bound("run", "--home", place / "folder")
    assert run.returncode == 3
    assert [
        line.split(":")[0] for line in run.stderr.splitlines() + run.stdout.splitlines() if ": expected" in line
    ] == ["  a.csv"]
    folder.rename(folder.with_name("2020-02-29_export"))  # that no run has looked at yet
    kept = bound("backup", "--home", place / "folder", "--to", place / "b.tar.gz")
    assert (kept.returncode, "2020-02-29_export/a.csv" in kept.stderr, kept.stderr.count("\n")) == (2, True, 1)
    assert not (place / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("survival --adtte NEW/adtte.csv --out NEW/folder/km.csv", "folder/km.csv"),
        ("simulate --patients 3 --out NEW/folder/made", "folder/made"),
        ("freeze x --by A --reason B --home NEW/folder", "folder/run.lock"),
        ("run --home NEW/folder", "folder/run.lock"),
    ],
)
def test_where_one_may_not_write_is_named(line: str, named: str, place: Path) -> None:
    (place / "folder").chmod(0o500)
    done = bound(*line.replace("NEW", str(place)).split())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{place / named}" in done.stderr and "may not" in done.stderr


def test_a_state_that_may_not_be_read_is_named(place: Path) -> None:
    (place / "state.json").write_text("{}")
    (place / "state.json").chmod(0)
    done = bound("status", "--home", place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert str(place / "state.json") in done.stderr


def test_a_run_that_is_stopped_says_so_and_is_not_complete(tmp_path: Path) -> None:
    simulate(tmp_path, patients=12, seed=1)
    line = [sys.executable, "-c", STOPPABLE + CODE, "run", "--home", str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        while started.poll() is None and not list(tmp_path.glob("landed/*/.staged")):
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=600)
    assert (started.returncode, out, "Traceback" in err) == (130, "", False), err
    assert err.splitlines()[-1] == "restage: stopped; the next run does it again."
    assert not read_state(Home(tmp_path)).get("complete"), "so that the next run does it again"


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_that_does_not_exist_is_refused(
    port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = spoken(f"ui --home NEW/home --port {port}", tmp_path, monkeypatch, capsys)
    assert (code, out, (tmp_path / "home").exists()) == (2, "", False)


def test_a_port_that_is_taken_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = spoken(f"ui --home NEW/home --port {port}", tmp_path, monkeypatch, capsys)
    assert (code, out, (tmp_path / "home").exists()) == (2, "", False)
    assert err.startswith(f"restage: port {port} ") and err.count("\n") == 1


@pytest.mark.parametrize("command", ["ui", "watch"])
def test_a_home_that_was_not_there_is_told(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve = "pipelines.orchestration.serve."
    monkeypatch.setattr(f"{serve}prepare_dagster", lambda home: home.dagster.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(f"{serve}_probe", lambda _: None)
    monkeypatch.setattr(f"{serve}_start", lambda *_: SimpleNamespace(pid=1))
    monkeypatch.setattr(f"{serve}_watch", lambda *_: 0)
    for new in (True, False):
        said = spoken(f"{command} --home NEW/home", tmp_path, monkeypatch, capsys)[1]
        assert (f"{tmp_path / 'home'}: a new home" in said) is new


def test_status_says_what_waits_and_that_nothing_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spoken("status --home NEW", tmp_path, monkeypatch, capsys)[1].splitlines()[-1].startswith("Nothing was made")
    folder = tmp_path / "inbox" / "me1" / "2020-01-31_export"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("invented\n")
    said = spoken("status --home NEW", tmp_path, monkeypatch, capsys)[1].splitlines()
    assert said[-2] == "Deliveries that wait in the inbox: 1." and said[-1].startswith("Not up to date")
    told = json.loads(spoken("status --home NEW --json", tmp_path, monkeypatch, capsys)[1])
    assert (told["waiting"], told["up_to_date"], told["exit_code"]) == (1, False, 0)
