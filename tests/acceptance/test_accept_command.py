"""`restage accept`: what a centre confirmed is taken by name and with a reason, and everything else is refused."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.deliveries import acceptances
from pipelines.warehouse import Home, open_read
from tests.conftest import Restage


def state(home: Path, query: str) -> tuple[str, str | None, str | None]:
    with closing(open_read(Home(home))) as con:
        about = "select state, accepted_by, accept_reason from validated.queries where query_id = $query"
        (found,) = con.execute(about, {"query": query}).fetchall()
        return found


@pytest.mark.long
def test_a_confirmed_value_is_accepted_by_name(demo_home: Path, tmp_path: Path, restage: Restage) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_home, home, copy_function=shutil.copy2)
    with closing(open_read(Home(home))) as con:
        asked = "select centre, query_id from validated.findings where severity = 'query' order by all limit 1"
        ((centre, query),) = con.execute(asked).fetchall()
    decision = ("accept", query, "--by", "M. Bianchi", "--reason", "Letter seen.", "--home", home)
    refused = restage(*decision)
    assert refused.returncode == 2 and "cannot be accepted: it is new" in refused.stderr
    assert "Traceback" not in refused.stderr and acceptances.read(Home(home)) == []
    # the list as we sent it, one cell filled in, and a reply to a query that nobody asked
    sent = home / "reports" / "centres" / centre / "queries.csv"
    head, *lines = sent.read_text(encoding="utf-8-sig").splitlines()
    delimiter = head.partition("query_id")[2][0]
    blank = delimiter * 3
    (line,) = [text for text in lines if text.startswith(query)]
    assert line.endswith(blank)
    reply = delimiter.join(("confirmed", "seen", "A. Rossi", "2017-05-01"))
    folder = home / "inbox" / centre / "2017-05-01_reply"
    folder.mkdir()
    unknown = "Qnone" + line.removeprefix(query).removesuffix(blank) + reply
    text = "\n".join([head, line.removesuffix(blank) + reply, unknown]) + "\n"
    (folder / "queries.csv").write_text(text, encoding="utf-8-sig")
    assert restage("run", "--home", home).returncode == 0
    assert state(home, query)[0] == "answered"
    told = (sent.parent / "report.html").read_text(encoding="utf-8")
    assert "Qnone" in told, "a reply that could not be used is told to the centre"
    assert query in (home / "reports" / "study" / "queries_to_decide.csv").read_text(encoding="utf-8-sig")
    done = restage(*decision)
    assert done.returncode == 0, done.stderr
    assert state(home, query) == ("accepted", "M. Bianchi", "Letter seen.")
    assert query not in sent.read_text(encoding="utf-8-sig")
    again = restage(*decision)
    assert again.returncode == 2 and "M. Bianchi has accepted this value already" in again.stderr
    assert len(acceptances.read(Home(home))) == 1
