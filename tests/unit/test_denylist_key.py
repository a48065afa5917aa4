"""A list of withdrawn subjects keeps them out with its own key alone. Invented."""

from pathlib import Path

import pytest

from pipelines import backup as care
from pipelines.cli.rebuild import rebuild
from pipelines.deliveries import denylist
from pipelines.errors import RestageError, UsageError
from pipelines.orchestration.doctor import examine
from pipelines.warehouse import Home
from pipelines.withdraw import is_code, withdraw


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    denylist.add(home, denylist.CODE, ["RCC-ZZ1-001-M"])
    return home


def test_what_was_entered_is_read(home: Home) -> None:
    first = denylist.digest(home, denylist.CODE, "rcc-zz1-001-m ")
    assert denylist.read(home) == {first}
    denylist.add(home, "me1", ["7"])
    assert denylist.read(home) == {first, denylist.digest(home, "me1", "7")}


def test_a_list_of_an_earlier_version_is_read_and_gets_the_sum_of_its_key(home: Home) -> None:
    path = home.archive / "withdrawn.txt"
    path.write_text("".join(f"{d}\n" for d in denylist.read(home)))
    assert len(denylist.read(home)) == 1
    denylist.add(home, "me1", ["7"])
    assert denylist.OF_KEY in path.read_text()
    assert len(denylist.read(home)) == 2


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("keys/withdrawn.key", "", "is damaged"),
        ("keys/withdrawn.key", "00", "is damaged"),
        ("keys/withdrawn.key", "0" * 64, "not that of"),
        ("keys/withdrawn.key", None, "is missing"),
        ("archive/withdrawn.txt", "", "is empty"),
    ],
)
def test_what_keeps_nobody_out_stops_everything(
    home: Home, tmp_path: Path, file: str, content: str, words: str
) -> None:
    path = home.root / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(RestageError, match=words):
        denylist.read(home)
    with pytest.raises(RestageError, match=words):
        denylist.add(home, "me1", ["7"])
    (wrong,) = [f for f in examine(home) if f.check == "withdrawn"]
    assert (wrong.state, words in wrong.what) == ("wrong", True)


def test_a_withdrawal_that_is_not_through_is_wrong(home: Home) -> None:
    assert [f.state for f in examine(home) if f.check == "withdrawn"] == ["ok"]
    denylist.begin(home, ["RCC-ZZ1-001-M"])
    denylist.begin(home)
    assert denylist.begun(home) == {"RCC-ZZ1-001-M"}
    assert home.withdrawing.stat().st_mode & 0o077 == 0
    (wrong,) = [f for f in examine(home) if f.check == "withdrawn"]
    assert (wrong.state, "restage run" in wrong.advice) == ("wrong", True)
    denylist.end(home)
    assert denylist.begun(home) is None


def test_a_list_without_its_key_is_not_taken_over(home: Home, tmp_path: Path) -> None:
    (home.root / "keys" / "withdrawn.key").write_text("0" * 64)
    draft = Home(tmp_path / "draft")
    with pytest.raises(RestageError, match="not that of"):
        care._merge_withdrawn(home, draft)
    assert not draft.root.exists()


def test_a_rebuild_without_the_key_costs_no_tables(home: Home) -> None:
    (home.archive / "ledger.jsonl").touch()
    home.database.touch()
    (home.root / "keys" / "withdrawn.key").unlink()
    with pytest.raises(RestageError, match="key is missing"):
        rebuild(home.root, None, None, False)
    assert home.database.exists()


@pytest.mark.parametrize("form", ["RCCME3004L", "rcc-me3 -004-l", "RCC-ME3-004-L\u00a0"])
def test_a_study_code_is_kept_out_however_it_is_written(tmp_path: Path, form: str) -> None:
    home = Home(tmp_path)
    denylist.add(home, denylist.CODE, ["RCC-ME3-004-L"])
    assert denylist.among(home, denylist.CODE, [form, "RCC-ME3-005-J"]) == {form}
    assert denylist.teller(home, "rt1")(form) and not denylist.teller(home, "rt1")("RCC-ME3-005-J")


def test_a_list_of_an_earlier_version_keeps_out_whom_it_names(tmp_path: Path) -> None:
    home = Home(tmp_path)
    denylist.add(home, denylist.CODE, ["RCC-ME3-004-L"])
    new, old = denylist._digests(denylist._key(home), denylist.CODE, "RCC-ME3-004-L")
    listed = home.archive / "withdrawn.txt"
    listed.write_text(listed.read_text(encoding="ascii").replace(new, old), encoding="ascii")
    assert denylist.among(home, denylist.CODE, ["rcc-me3-004-l"]) == {"rcc-me3-004-l"}


@pytest.mark.parametrize("text", ["foo", "RCC-ME1-001-N", "RCC-ME1-010-M", "RCCME1001M", "", "RCC-ME1-001-M-"])
def test_what_is_no_study_code_withdraws_nobody(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    with pytest.raises(UsageError, match="no study code, or mistyped"):
        withdraw(home, text, {})
    assert not home.withdrawing.exists() and not (home.archive / "withdrawn.txt").exists()
    assert is_code("RCC-ME1-001-M")
