"""A ledger or an archived file that the disk has damaged: it is told, nothing is believed, nothing goes silently."""

import json
from pathlib import Path

import pytest

from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.errors import RestageError
from pipelines.orchestration.doctor import examine
from pipelines.warehouse import Home

CENTRES = ("north", "south")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two centres have each sent a delivery of the same name, which was taken in."""
    home = Home(tmp_path / "home")
    for centre in CENTRES:
        put(home, centre, "2015-01-01_export", centre.encode())
    intake(home, CENTRES)
    return home


def put(home: Home, centre: str, name: str, content: bytes) -> Path:
    folder = home.inbox / centre / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.csv").write_bytes(content)
    return folder


def damage_line(home: Home, n: int, damaged: bytes | None = None) -> bytes:
    """Damage one line of the ledger; returns what it was."""
    path = home.archive / "ledger.jsonl"
    lines = path.read_bytes().split(b"\n")
    was, lines[n] = lines[n], b"#" + lines[n][1:] if damaged is None else damaged
    path.write_bytes(b"\n".join(lines))
    return was


def told(home: Home, state: str) -> list[str]:
    return [f.what for f in examine(home, deep=True) if f.check == "archive" and f.state == state]


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_ledger_is_told_and_not_taken_for_an_empty_study(home: Home, lose: object) -> None:
    lose(home.archive / "ledger.jsonl")  # type: ignore[operator]
    with pytest.raises(RestageError, match="restage restore"):
        intake(home, CENTRES)
    assert any("ledger.jsonl is lost" in what for what in told(home, "wrong"))
    # the way out of a home without a backup
    (home.archive / "seen.json").unlink()
    assert [d.centre for d in intake(home, CENTRES)] == ["north", "south"]


def test_a_delivery_whose_line_was_damaged_is_taken_in_again(home: Home) -> None:
    damage_line(home, 0)
    assert told(home, "wrong") == ["ledger.jsonl:1 is damaged, and what it said is lost"]
    assert [d.centre for d in intake(home, CENTRES)] == ["north"]
    assert (told(home, "wrong"), len(told(home, "note"))) == ([], 1)


@pytest.mark.parametrize("damaged", [b"[]", b"{}", b'{"delivery_id": "\xff"}', b"\xff\xfe"])
def test_a_line_that_says_nothing_is_left_out(home: Home, damaged: bytes) -> None:
    damage_line(home, 1, damaged)
    assert [d.centre for d in ledger.read(home)] == ["north"]
    assert told(home, "wrong") == ["ledger.jsonl:2 is damaged, and what it said is lost"]


def test_a_line_that_a_killed_run_cut_off_is_no_fault(home: Home) -> None:
    with (home.archive / "ledger.jsonl").open("a") as file:
        file.write('{"centre": "north", "deliv')
    assert (told(home, "wrong"), told(home, "note")) == ([], ["ledger.jsonl:3 was cut off or damaged"])


def test_a_later_state_that_was_damaged_is_made_again(home: Home) -> None:
    (north, _) = ledger.read(home)
    ledger.append(home, north.decided("accepted"))
    damage_line(home, 2)
    assert told(home, "wrong") == []
    assert json.loads(damage_line(home, 0))["delivery_id"] == north.delivery_id
    assert len(told(home, "wrong")) == 2


def archived(home: Home, centre: str) -> Path:
    (delivery,) = (d for d in ledger.read(home) if d.centre == centre)
    return ledger.object_path(home, str(delivery.files["a.csv"]["sha256"]))


def damage_object(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().upper())


def test_deliveries_of_one_name_are_told_apart_by_their_centre(home: Home) -> None:
    damage_object(archived(home, "north"))
    archived(home, "south").unlink()
    assert told(home, "wrong") == [
        "files of north/2015-01-01_export are damaged",
        "files of south/2015-01-01_export are missing",
    ]


def test_a_file_that_the_archive_has_lost_is_taken_from_the_inbox_again(home: Home) -> None:
    archived(home, "north").unlink()
    assert intake(home, CENTRES) == []
    assert archived(home, "north").read_bytes() == b"north"
    assert told(home, "wrong") == []


def test_a_delivery_that_is_put_there_again_mends_what_was_damaged(home: Home) -> None:
    damage_object(archived(home, "north"))
    with pytest.raises(RestageError, match=r"north/2015-01-01_export: .* is damaged"):
        ledger.hold_sound(home)
    put(home, "north", "2015-01-01_export", b"north")
    assert intake(home, CENTRES) == []
    ledger.hold_sound(home)
