"""An amendment of the protocol holds from its version on; earlier versions keep their numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import study
from pipelines.errors import MappingError

PROTOCOL = """
version: '1.10'
parameters:
  max_ecog:
    value: 1
    unit: ECOG
    citation: Protocol 1.0
    since: '1.0'
    amended:
      - {value: 2, since: '1.9', citation: Amendment 1}
      - {value: 3, since: '1.10', citation: Amendment 2}
  late_days: {value: 7, unit: day, citation: Amendment 1, since: '1.9'}
"""


@pytest.fixture
def amended(tmp_path: Path, show_study: Callable[[Path], None]) -> Path:
    path = tmp_path / "protocol.yaml"
    path.write_text(PROTOCOL)
    show_study(tmp_path)
    return path


@pytest.mark.parametrize(("version", "value", "citation"), [
    ("1.0", 1, "Protocol 1.0"), ("1.9", 2, "Amendment 1"), ("1.10", 3, "Amendment 2"), ("", 3, "Amendment 2"),
])  # fmt: skip
def test_each_version_has_its_own_number(
    amended: Path, monkeypatch: pytest.MonkeyPatch, version: str, value: int, citation: str
) -> None:
    monkeypatch.setenv("RESTAGE_PROTOCOL", version)
    found = study.protocol()["max_ecog"]
    assert (found["value"], found["citation"], found["unit"]) == (value, citation, "ECOG")
    assert "amended" not in found
    assert study.protocol()["late_days"]["value"] == 7, "SQL of today can run under every version"


@pytest.mark.parametrize(("old", "new", "words"), [
    ("since: '1.9', citation: Amendment 1}\n      -", "since: '1.11', citation: x}\n      -", "follow each other"),
    ("version: '1.10'", "version: '1.9'", "follow each other"),
    ("version: '1.10'", "version: 'one'", "no version"),
])  # fmt: skip
def test_amendments_out_of_order_are_refused(amended: Path, old: str, new: str, words: str) -> None:
    text = amended.read_text()
    assert old in text
    amended.write_text(text.replace(old, new))
    with pytest.raises(MappingError, match=words):
        study.protocol()


def test_a_version_that_is_not_there_yet(amended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTAGE_PROTOCOL", "2.0")
    with pytest.raises(MappingError, match=r"at version 1\.10"):
        study.protocol()


def test_the_title_of_the_study_is_one_text_or_one_by_language(
    tmp_path: Path, show_study: Callable[[Path], None]
) -> None:
    for title, italian in (("A study", "A study"), ("{en: A study, it: Uno studio}", "Uno studio")):
        text = f"version: '1.0'\nparameters:\n  study_title: {{value: {title}, citation: none, since: '1.0'}}\n"
        (tmp_path / "protocol.yaml").write_text(text)
        show_study(tmp_path)
        assert (study.title("en"), study.title("it")) == ("A study", italian)
        assert study.protocol()["study_title"]["value"] == "A study", "as SQL and the study's own pages have it"
