"""Why a delivery was rejected, in the language of its centre."""

import re

import pytest

from pipelines import study
from pipelines.deliveries.identifiers import ACTION
from pipelines.deliveries.manifest import Manifest, compare
from pipelines.errors import Problem
from pipelines.reports.centre_report import why, words

IT = words("it")
SOURCES = "".join(path.read_text(encoding="utf-8") for path in (study.ROOT / "pipelines").rglob("*.py"))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            Problem(
                "a.csv", "column X, row 7 (2 rows)", "no direct identifier, but this looks like: phone number", ACTION
            ),
            "a.csv, colonna X, riga 7 (2 righe): atteso nessun dato che identifichi una persona, ma questo sembra un "
            "numero di telefono. Toglierlo dall'esportazione",
        ),
        (
            compare(Manifest(files={"a.csv": "0"}), {})[0],
            "a.csv: atteso il file nominato nel manifest. Ripetere l'invio",
        ),
        (Problem("b.csv", "line 3", "text in cp1252", "Do."), "b.csv, riga 3: atteso testo in cp1252. Do."),
        (
            Problem("", "", "at least one file", "Put the export's files into the folder."),
            "Atteso almeno un file. Mettere",
        ),
    ],
)
def test_a_common_reason_is_told_in_italian_and_what_is_not_known_stays(problem: Problem, said: str) -> None:
    assert why(str(problem), IT).startswith(said)
    assert why(str(problem), words("en")) == str(problem)


@pytest.mark.parametrize("english", IT["rejections"])
def test_every_part_that_is_translated_is_said_somewhere(english: str) -> None:
    """Or a changed text would silently be English again."""
    literal = re.sub(r"\\([().])", r"\1", english).strip("^").replace("atteso ", "")
    pieces = [piece.strip(" .,:)(") for piece in re.split(r"\([^ ]*[+*][^ ]*\)|\\S\+|[.:]", literal)]
    missing = [piece for piece in pieces if piece and piece not in SOURCES]
    assert missing == []
