"""One mail to a centre: a text that says nothing of any patient, and one attachment that only the centre can open."""

import io
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.errors import RestageError
from pipelines.outbox.keep import FILES
from pipelines.outbox.settings import Mail, Receiver, secret

if TYPE_CHECKING:
    from pipelines.mapping import Centre

TEXTS = Path(__file__).parent / "texts.yaml"
SHORTEST = 16  # characters of a pass phrase: an AES zip can be tried offline, and its key derivation is quick


def words(mail: Mail, centre: "Centre", receiver: Receiver, attachment: str) -> tuple[str, str]:
    """Subject and text in the centre's language; they name study, unit, attachment and how it is opened."""
    texts = study.read_yaml(TEXTS)
    said = texts.get(centre.language, texts["en"])
    values = {
        "study": study.title(centre.language), "centre": centre.local_title, "attachment": attachment,
        "opening": said["age" if receiver.age else "zip"].format(attachment=attachment).strip(),
        "days": study.protocol()["reply_days"]["value"], "sender": mail.sender,
    }  # fmt: skip
    return " ".join(said["subject"].format(**values).split()), said["text"].format(**values)


def attachment_name(centre: str, day: str, edition: str, receiver: Receiver) -> str:
    """Centre and day of the data alone: a hospital's own folder name may say too much on an open road."""
    return f"{centre}_{day}{edition}.zip" + (".age" if receiver.age else "")


def packed(mail: Mail, folder: Path, receiver: Receiver) -> bytes:
    """The files of one edition, encrypted: a zip for the keys of age, or an AES zip (256 bit).

    Raises `RestageError` for a key or pass phrase that cannot be used.
    """
    content = {name: (folder / name).read_bytes() for name in FILES}
    return _for_keys(content, receiver.age) if receiver.age else _for_phrase(content, _phrase(mail, receiver))


def compose(mail: Mail, to: tuple[str, ...], said: tuple[str, str], name: str, attachment: bytes) -> EmailMessage:
    """The message as it is handed to the server."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, ", ".join(to), said[0]
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=mail.domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(said[1])
    kind = "zip" if name.endswith(".zip") else "octet-stream"
    message.add_attachment(attachment, maintype="application", subtype=kind, filename=name)
    return message


def _for_keys(content: Mapping[str, bytes], keys: tuple[str, ...]) -> bytes:
    import pyrage

    readers = []
    for number, key in enumerate(keys, 1):
        kind = pyrage.ssh if key.startswith("ssh-") else pyrage.x25519
        try:
            readers.append(kind.Recipient.from_str(key))
        except pyrage.RecipientError:
            raise RestageError(f"entry {number} under age in mail.yaml is no public key (age1… or ssh-…)") from None
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, data in content.items():
            book.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return bytes(pyrage.encrypt(file.getvalue(), readers))


def _for_phrase(content: Mapping[str, bytes], phrase: str) -> bytes:
    import pyzipper

    file = io.BytesIO()
    with pyzipper.AESZipFile(file, "w", compression=zipfile.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as book:
        book.setpassword(phrase.encode())
        for name, data in content.items():
            book.writestr(name, data)
    return file.getvalue()


def _phrase(mail: Mail, receiver: Receiver) -> str:
    phrase = secret(mail.home, receiver.pass_phrase)
    if len(phrase) < SHORTEST:
        raise RestageError(f"the pass phrase has fewer than {SHORTEST} characters")
    return phrase
