"""Reports by mail: each once, encrypted, to whom mail.yaml names, over a real server; faults in plain words."""

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pyrage
import pytest
import pyzipper
import yaml
from typer.testing import CliRunner, Result

from pipelines import centres, study
from pipelines.cli.main import app
from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.errors import MappingError, RestageError
from pipelines.outbox import log
from pipelines.outbox.keep import FILES, keep
from pipelines.outbox.message import TEXTS
from pipelines.outbox.settings import load
from pipelines.warehouse import Home
from tests.unit.mail_server import Box, certificate, free_port, serving

CENTRES = sorted(p.parent.name for p in (study.ROOT / "centres").glob("[!_]*/centre.yaml"))
AGE, ZIP = (
    CENTRES[0],
    next(p for p in CENTRES if "language: it" in (study.ROOT / f"centres/{p}/centre.yaml").read_text()),
)
PHRASE = "correct horse battery staple"
KEY = pyrage.x25519.Identity.generate()
SECRET_PATIENT = "PZ-004"  # stands in the files that are sent and may stand nowhere else
TO = {AGE: ["dm@one.example", "nurse@one.example"], ZIP: ["dm@two.example"]}


def deliver(
    home: Home, centre: str, name: str, received: str, text: str = SECRET_PATIENT, state: str = "accepted"
) -> Path:
    """A delivery of an invented centre that has its report; returns the edition in the outbox."""
    ledger.append(home, Delivery(f"{centre}-{name}-0a1b2c3d", centre, name, received, "2017-04-02", {}, state))
    folder = home.reports / "centres" / centre
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (folder / file).write_bytes(f"{file} about {text}\r\n".encode())
    kept = keep(home, centre)
    assert kept is not None
    return kept


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    for centre in (AGE, ZIP):
        deliver(home, centre, "2017-04-02_Rossi_Mario", "2017-04-03T08:00:00.000+00:00")
    (home.root / "keys").mkdir()
    (home.root / "keys" / "zip.txt").write_text(PHRASE + "\n")
    (home.root / "keys" / "password.txt").write_text("secret of the server\n")
    return home


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


def configure(home: Home, port: int, pem: Path | None, **changes: Any) -> None:
    server: dict[str, Any] = {"host": "127.0.0.1", "port": port, **({"ca": str(pem)} if pem else {})}
    centres = {
        AGE: {"to": TO[AGE], "age": [str(KEY.to_public())]},
        ZIP: {"to": TO[ZIP], "pass_phrase": {"file": "keys/zip.txt"}},
    }
    content = {"server": server | changes.pop("server", {}), "sender": "RCC study <data@study.example>"}
    (home.root / "mail.yaml").write_text(yaml.safe_dump({**content, "centres": centres | changes}))


def restage_send(home: Home, *options: str) -> Result:
    return CliRunner().invoke(app, ["send", "--home", str(home.root), *options])


def opened(attachment: bytes, name: str) -> dict[str, bytes]:
    """The attachment as its centre opens it."""
    if name.endswith(".age"):
        with zipfile.ZipFile(io.BytesIO(pyrage.decrypt(attachment, [KEY]))) as book:
            return {n: book.read(n) for n in book.namelist()}
    with pyzipper.AESZipFile(io.BytesIO(attachment)) as book:
        book.setpassword(PHRASE.encode())
        return {n: book.read(n) for n in book.namelist()}


def edition(home: Home, centre: str) -> dict[str, bytes]:
    (folder,) = home.outbox(centre).iterdir()
    return {name: (folder / name).read_bytes() for name in FILES}


def test_each_centre_gets_its_files_and_only_it_can_open_them(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        done = restage_send(home)
    assert done.exit_code == 0, done.output
    assert [to for to, _ in box.taken] == [TO[AGE], TO[ZIP]]
    for centre, message in zip((AGE, ZIP), box.messages, strict=True):
        (attachment,) = message.iter_attachments()
        name, content = attachment.get_filename(), attachment.get_content()
        assert name == f"{centre}_2017-04-02.zip" + (".age" if centre == AGE else "")
        assert opened(content, name) == edition(home, centre)
        if centre == ZIP:
            with zipfile.ZipFile(io.BytesIO(content)) as book, pytest.raises(RuntimeError, match="encrypted"):
                book.read(FILES[0])
    # neither in the head nor in the text nor readable in the attachment
    assert not any(word.encode() in raw for _, raw in box.taken for word in (SECRET_PATIENT, "Rossi", PHRASE))


def test_a_mail_speaks_the_centres_language_and_says_how_to_open_it(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        restage_send(home)
    english, italian = box.messages
    assert english["From"] == "RCC study <data@study.example>" and english["To"] == ", ".join(TO[AGE])
    assert "data-quality report" in english["Subject"] and "rapporto sulla qualità dei dati" in italian["Subject"]
    texts = [message.get_body().get_content() for message in (english, italian)]  # type: ignore[union-attr]
    for language, message, text, centre in zip(("en", "it"), (english, italian), texts, (AGE, ZIP), strict=True):
        title = study.read_yaml(study.ROOT / "centres" / centre / "centre.yaml")["title"][language]
        assert title in message["Subject"] and study.title(language) in message["Subject"]
        assert study.title(language) in text
    assert "age --decrypt" in texts[0] and "7-Zip" in texts[1] and "Gentili" in texts[1]
    assert english["Message-ID"].endswith("@study.example>"), "the name of this machine stays here"
    assert not any("{" in text for text in texts)


def test_every_language_says_the_same_things() -> None:
    said = study.read_yaml(TEXTS)
    assert {c.language for c in centres.load_all(study.ROOT / "centres").values()} <= said.keys()
    named = {
        language: [set(re.findall(r"{\w+}", texts[key])) for key in said["en"]] for language, texts in said.items()
    }
    assert all(found == named["en"] for found in named.values())


def test_nothing_is_sent_twice_and_the_log_says_what_was(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        first, second = restage_send(home), restage_send(home)
    assert (first.exit_code, second.exit_code, len(box.taken)) == (0, 0, 2)
    assert second.output.count("has it already") == 2
    events = log.read(home).events
    assert [(e.state, e.centre, e.to) for e in events] == [
        (state, centre, tuple(TO[centre])) for centre in (AGE, ZIP) for state in ("sending", "sent")
    ]
    for event, message in zip(events[1::2], box.messages, strict=True):
        (attachment,) = message.iter_attachments()
        kept = {name: hashlib.sha256(data).hexdigest() for name, data in edition(home, event.centre).items()}
        assert event.files == kept and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", event.at)
        assert event.attachment_sha256 == hashlib.sha256(attachment.get_content()).hexdigest()
        assert event.message_id == message["Message-ID"]
    assert SECRET_PATIENT not in (home.root / log.NAME).read_text()


def test_the_next_delivery_is_sent_and_the_same_files_again_are_not(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        restage_send(home)
        keep(home, AGE)
        assert restage_send(home).exit_code == 0 and len(box.taken) == 2
        deliver(home, AGE, "2017-07-01_export", "2017-07-02T08:00:00.000+00:00", "PZ-005")
        assert restage_send(home).exit_code == 0 and len(box.taken) == 3
        deliver(home, AGE, "2017-07-01_export", "2017-07-02T08:00:00.000+00:00", "PZ-006")  # other queries since
        assert restage_send(home).exit_code == 0 and len(box.taken) == 4
    names = [next(m.iter_attachments()).get_filename() for m in box.messages]
    assert names[2:] == [f"{AGE}_2017-04-02.zip.age", f"{AGE}_2017-04-02_2.zip.age"]


def test_once_more_only_when_asked(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        restage_send(home)
        assert restage_send(home, "--centre", AGE, "--again").exit_code == 0
        everybody = restage_send(home, "--again")
    assert len(box.taken) == 3 and box.taken[2][0] == TO[AGE]
    assert "--again needs --centre" in str(everybody.exception)


def test_a_dry_run_shows_everything_and_opens_no_connection(home: Home) -> None:
    configure(home, free_port(), None)
    done = restage_send(home, "--dry-run", "--centre", AGE)
    assert done.exit_code == 0, done.output
    for text in (*TO[AGE], f"{AGE}_2017-04-02.zip.age", "Subject: ", "age, 1 key", "age --decrypt"):
        assert text in done.output
    assert TO[ZIP][0] not in done.output and not (home.root / log.NAME).exists()


def test_nothing_is_sent_unless_configured(home: Home) -> None:
    for done in (restage_send(home), restage_send(home, "--dry-run")):
        assert isinstance(done.exception, RestageError) and done.exception.exit_code == 2
        assert "no mail.yaml" in str(done.exception)


def test_a_centre_that_is_not_named_gets_nothing(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem)
        content = yaml.safe_load((home.root / "mail.yaml").read_text())
        del content["centres"][ZIP]
        (home.root / "mail.yaml").write_text(yaml.safe_dump(content))
        done = restage_send(home)
    assert done.exit_code == 0 and [to for to, _ in box.taken] == [TO[AGE]]
    assert f"{ZIP}: mail.yaml names nobody to send to" in done.output


def test_a_refused_recipient_hinders_nobody_else_and_is_tried_again(home: Home, pem: Path) -> None:
    box = Box(refuses=(TO[AGE][1], TO[ZIP][0]))
    with serving(box, pem) as port:
        configure(home, port, pem)
        done = restage_send(home)
        assert done.exit_code == 1 and [to for to, _ in box.taken] == [TO[AGE][:1]]
        for address in box.refuses:
            assert address in done.output and "no such mailbox" in done.output
        box.refuses = ()
        assert restage_send(home).exit_code == 0
    assert [to for to, _ in box.taken[1:]] == [TO[AGE][1:], TO[ZIP]]


def test_a_server_without_tls_gets_nothing(home: Home) -> None:
    box = Box()
    with serving(box, None) as port:
        configure(home, port, None)
        done = restage_send(home)
    assert done.exit_code == 1 and not box.taken
    assert done.output.count("offers no TLS, and nothing is sent without it") == 2
    assert [e.state for e in log.read(home).events] == ["sending", "failed"] * 2


def test_a_server_without_tls_is_used_where_that_is_said(home: Home) -> None:
    box = Box()
    with serving(box, None) as port:
        configure(home, port, None, server={"tls": "none"})
        assert restage_send(home).exit_code == 0
    assert len(box.taken) == 2


def test_tls_from_the_first_byte(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem, implicit=True) as port:
        configure(home, port, pem, server={"tls": "implicit"})
        done = restage_send(home)
    assert done.exit_code == 0, done.output
    assert len(box.taken) == 2


def test_an_unknown_certificate_is_not_trusted(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, None)
        done = restage_send(home)
    assert done.exit_code == 1 and not box.taken and "is not trusted" in done.output


def test_an_unreachable_server(home: Home) -> None:
    configure(home, free_port(), None)
    done = restage_send(home)
    assert done.exit_code == 1 and done.output.count("cannot be reached: Connection refused") == 2


@pytest.mark.parametrize("source", [{"file": "keys/password.txt"}, {"env": "RESTAGE_TEST_PASSWORD"}])
def test_the_password_comes_from_a_file_or_the_environment(
    home: Home, pem: Path, source: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTAGE_TEST_PASSWORD", "secret of the server")
    box = Box()
    with serving(box, pem, login=("study", "secret of the server")) as port:
        configure(home, port, pem, server={"user": "study", "password": source})
        done = restage_send(home)
    assert done.exit_code == 0, done.output
    assert len(box.taken) == 2


def test_a_wrong_password_is_said_and_not_shown(home: Home, pem: Path) -> None:
    box = Box()
    with serving(box, pem, login=("study", "another")) as port:
        configure(home, port, pem, server={"user": "study", "password": {"file": "keys/password.txt"}})
        done = restage_send(home)
    assert done.exit_code == 1 and not box.taken
    assert "does not accept the user study with this password" in done.output and "secret of" not in done.output


def test_a_message_that_the_server_refuses_is_tried_again(home: Home, pem: Path) -> None:
    box = Box()
    box.data_reply = "554 too large"
    with serving(box, pem) as port:
        configure(home, port, pem)
        done = restage_send(home)
        assert done.exit_code == 1 and "554 too large" in done.output
        box.data_reply = "250 OK"
        assert restage_send(home).exit_code == 0
    assert len(box.taken) == 2


def test_a_mail_that_may_have_arrived_is_not_sent_again_by_itself(home: Home, pem: Path) -> None:
    box = Box()
    box.data_reply = "hang up"
    with serving(box, pem) as port:
        configure(home, port, pem)
        first = restage_send(home, "--centre", AGE)
        assert first.exit_code == 1 and "it is not known" in first.output
        box.data_reply = "250 OK"
        second = restage_send(home, "--centre", AGE)
        assert second.exit_code == 1 and "it is not known" in second.output and not box.taken
        assert restage_send(home, "--centre", AGE, "--again").exit_code == 0
        assert restage_send(home, "--centre", AGE).exit_code == 0
    assert len(box.taken) == 1


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ({"age": ["age1notakey"]}, "is no public key"),
        ({"pass_phrase": {"file": "keys/none.txt"}}, "the file keys/none.txt is missing"),
        ({"pass_phrase": {"env": "RESTAGE_TEST_NOT_SET"}}, "environment variable RESTAGE_TEST_NOT_SET is missing"),
        ({"pass_phrase": {"file": "keys/short.txt"}}, "fewer than 16 characters"),
    ],
)
def test_without_a_lock_nothing_is_sent(home: Home, pem: Path, receiver: dict[str, Any], said: str) -> None:
    (home.root / "keys" / "short.txt").write_text("secret")
    box = Box()
    with serving(box, pem) as port:
        configure(home, port, pem, **{AGE: {"to": TO[AGE], **receiver}})
        done = restage_send(home)
    assert done.exit_code == 1 and f"{AGE}: not sent: " in done.output and said in done.output
    assert "secret" not in done.output
    assert [to for to, _ in box.taken] == [TO[ZIP]], "the other centre gets its report"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"server": {"host": "a b"}}, "server.host"),
        ({"server": {"prot": 25}}, "did you mean 'port'"),
        ({"server": {"password": "hunter2"}}, "server.password: expected object"),
        ({"server": {"user": "x"}}, "user and password go together"),
        ({"server": {"user": "x", "password": {"env": "X"}, "tls": "none"}}, "a password is not sent without TLS"),
        ({AGE: {"to": ["a@b.example"]}}, "needs age or pass_phrase"),
        ({AGE: {"to": ["a@b.example, c@d.example"], "age": ["x"]}}, "does not look like"),
        ({"m1": {"to": ["a@b.example"], "age": ["x"]}}, "is not a centre of this study"),
    ],
)
def test_what_is_wrong_in_the_settings_is_named_with_its_line(home: Home, change: dict[str, Any], said: str) -> None:
    configure(home, 25, None, **change)
    with pytest.raises(MappingError) as error:
        load(home, CENTRES)
    assert said in str(error.value) and "mail.yaml, line" in str(error.value) and "hunter2" not in str(error.value)


def test_a_line_that_a_crash_cut_off_spoils_no_other(home: Home, pem: Path) -> None:
    box = Box()
    (home.root / log.NAME).write_text('{"state": "sen')
    with serving(box, pem) as port:
        configure(home, port, pem)
        assert restage_send(home).exit_code == restage_send(home).exit_code == 0
    assert len(box.taken) == 2
    assert len(log.read(home).events) == 4


def test_two_do_not_send_at_once(home: Home) -> None:
    configure(home, free_port(), None)
    with log.opened(home):
        done = restage_send(home)
    assert "Another `restage send` is at work" in str(done.exception)
