"""Each command's answer for machines, over one small home, against the page that promises it."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import study
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home, open_read
from tests.acceptance.test_cli import ADTTE, COMMANDS, SERVES, TR, TU
from tests.conftest import Restage
from tests.unit.mail_server import Box, serving

PAGE = study.ROOT / "docs" / "how-to" / "commands-for-machines.md"
NAMES = r"`([a-z_, ]+)`"
SIGNED = "--by A.Rossi --reason Invented"
ARGUMENTS = {
    "run": "--home HOME", "rebuild": "--home HOME", "demo": "--home NEW/demo",
    "restore": "NEW/kept.tar.gz --home NEW/again",
    "accept": f"QUERY {SIGNED} --home HOME", "withdraw": "SUBJECT --home HOME", "status": "--home HOME",
    "doctor": "--home HOME", "open": "--home HOME", "trace": "--cell table1/sex/M --home HOME",
    "backup": "--home HOME --to NEW/kept.tar.gz", "freeze": f"first {SIGNED} --home HOME",
    "freeze --verify": "first --home HOME",
    "send": "--centre me1 --home HOME", "send --dry-run": "--home HOME", "simulate": "--patients 3 --out NEW/made",
    "recist": "--tumours NEW/tu.csv --measurements NEW/tr.csv --out NEW/rs.csv",
    "survival": "--adtte NEW/adtte.csv --out NEW/km.csv",
    "centre new": "x9 --from NEW/tu.csv --into NEW/centres", "centre check": "me1",
    "centre sample": "rt1 --from NEW/mapped/rt1/sample --into NEW/mapped",
}  # fmt: skip
BEFORE = {"freeze --verify": "freeze", "restore": "backup"}  # what has to be there
Keys = dict[str, list[str]]


def documented() -> dict[str, Keys]:
    """Command -> key -> what each entry of that key has; `the same` are the keys of the row above all."""
    found: dict[str, Keys] = {}
    for commands, text in re.findall(r"^\| (`[^|]+`) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        keys = dict(found["run"]) if text.startswith("the same") else {}
        for key, about in re.findall(r"`(\w+)`(?: \(([^)]*)\))?", text):
            inner = re.search(NAMES, about)
            keys[key] = inner[1].split(", ") if inner else []
        found |= {command: keys for command in re.findall(r"`([^`]+)`", commands)}
    return found


DOCUMENTED = documented()


def test_every_command_that_answers_is_on_the_page() -> None:
    assert {name.partition(" --")[0] for name in DOCUMENTED} == COMMANDS.keys() - SERVES
    assert DOCUMENTED.keys() == ARGUMENTS.keys()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> tuple[Path, Any]:
    """A study of six invented patients after its first run, and what that said; nobody writes into it."""
    root = tmp_path_factory.mktemp("small")
    simulate(root, patients=6, seed=1, defects=0.05)
    done = restage("run", "--home", root, "--json")
    assert done.returncode == 0, done.stderr
    return root, done


@pytest.mark.long
@pytest.mark.parametrize("command", DOCUMENTED)
def test_the_document_has_what_the_page_says(
    command: str, small: tuple[Path, Any], tmp_path: Path, restage: Restage
) -> None:
    home, (first, done) = tmp_path / "home", small
    shutil.copytree(first, home, copy_function=shutil.copy2)
    for name, text in (("adtte", ADTTE), ("tu", TU), ("tr", TR)):
        (tmp_path / f"{name}.csv").write_text(text)
    shutil.copytree(study.ROOT / "centres" / "rt1", tmp_path / "mapped" / "rt1")
    with closing(open_read(Home(home))) as con:
        ((subject,),) = con.execute(
            "select min(usubjid) from harmonised.subjects where link_state = 'linked'"
        ).fetchall()
        asked = "select centre, query_id from validated.findings where severity = 'query' order by all limit 1"
        ((centre, query),) = con.execute(asked).fetchall()
    words = {"HOME": str(home), "NEW": str(tmp_path), "SUBJECT": subject, "QUERY": query}

    def said(name: str, *more: str) -> Any:
        line = re.sub("|".join(words), lambda word: words[word[0]], f"{name} {ARGUMENTS[name]}")
        return restage(*line.split(), *more)

    if command == "accept":
        confirm(home, centre, query)
        assert restage("run", "--home", home).returncode == 0
    if command in BEFORE:
        assert said(BEFORE[command]).returncode == 0
    if command != "run":  # the one that there was has decided deliveries
        with mail(home) if command.startswith("send") else nullcontext():
            done = said(command, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.keys() == {*DOCUMENTED[command], "exit_code"}
    assert told["exit_code"] == done.returncode
    for key, inner in DOCUMENTED[command].items():
        for entry in told[key] if inner else ():
            assert entry.keys() == {*inner}, key
    assert not any(line.lstrip().startswith(("{", "[", '"')) for line in done.stderr.splitlines()), done.stderr


def confirm(home: Path, centre: str, query: str) -> None:
    """The centre sends its list back, in which it confirms the value."""
    head, *lines = (home / "reports" / "centres" / centre / "queries.csv").read_text(encoding="utf-8-sig").splitlines()
    delimiter = head.partition("query_id")[2][0]
    (line,) = [text for text in lines if text.startswith(query)]
    reply = line.removesuffix(delimiter * 3) + delimiter.join(("confirmed", "seen", "A. Rossi", "2030-05-01"))
    folder = home / "inbox" / centre / "2030-05-01_reply"
    folder.mkdir()
    (folder / "queries.csv").write_text(f"{head}\n{reply}\n", encoding="utf-8-sig")


@contextmanager
def mail(home: Path) -> Iterator[None]:
    """A mail server of this machine, which the home's mail.yaml names."""
    with serving(Box(), None) as port:
        centre = {"to": ["dm@one.example"], "pass_phrase": {"file": "phrase.txt"}}
        server = {"host": "127.0.0.1", "port": port, "tls": "none"}
        content = {"server": server, "sender": "data@study.example", "centres": {"me1": centre}}
        (home / "phrase.txt").write_text("correct horse battery staple\n")
        (home / "mail.yaml").write_text(yaml.safe_dump(content))
        yield
