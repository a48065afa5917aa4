"""Sending what lies in the outboxes: each edition once to each address, and a line in the log for every step."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.deliveries.ledger import now
from pipelines.errors import RestageError
from pipelines.outbox import log, message
from pipelines.outbox.keep import FILES, newest
from pipelines.outbox.server import NotSent, Unknown, hand_over
from pipelines.outbox.settings import Mail
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.mapping import Centre


@dataclass(frozen=True)
class Post:
    """What one centre is to get: the edition, the addresses still without it, the mail's subject, text and attachment,
    and what locks it.

    `unsure` are addresses for which an earlier run was cut off. `hindrance` says why nothing can be sent.
    """

    centre: str
    folder: Path | None = None
    to: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    said: tuple[str, str] = ("", "")
    attachment: str = ""
    content: bytes = b""
    lock: str = ""
    hindrance: str = ""
    fault: bool = False


@dataclass(frozen=True)
class Told:
    """One line for whoever sends; `fault` where something did not go as it should."""

    centre: str
    text: str
    fault: bool = False


def posts(
    home: Home, mail: Mail, centres: Mapping[str, "Centre"], events: log.Log, again: bool = False
) -> Iterator[Post]:
    """What is to be sent to each centre now; nothing is opened to the outside. `again`: also to who has it already."""
    for name, centre in centres.items():
        found = newest(home, name)
        receiver = mail.receivers.get(name)
        if found is None:
            yield Post(name, hindrance="nothing in its outbox yet")
        elif receiver is None:
            yield Post(name, found[1], hindrance="mail.yaml names nobody to send to")
        else:
            delivery, folder = found
            reached = {} if again else events.reached(name, sums(folder))
            to = tuple(address for address in receiver.to if address not in reached)
            unsure = tuple(address for address in receiver.to if reached.get(address) == "sending")
            edition = folder.suffix.replace(".", "_")
            attachment = message.attachment_name(name, delivery.extract_date, edition, receiver)
            said = message.words(mail, centre, receiver, attachment)
            lock = (
                f"age, {len(receiver.age)} key{'s' * (len(receiver.age) > 1)}"
                if receiver.age
                else "AES zip, pass phrase"
            )
            post = Post(name, folder, to, unsure, said, attachment, lock=lock)
            try:
                yield replace(post, content=message.packed(mail, folder, receiver)) if to else post
            except RestageError as error:
                yield replace(post, hindrance=str(error), fault=True)


def send(mail: Mail, events: log.Log, waiting: Iterable[Post]) -> Iterator[Told]:
    """Send each post; one that fails does not hinder the others."""
    for post in waiting:
        if post.unsure:
            yield Told(post.centre, f"{_UNSURE} ({', '.join(post.unsure)})", fault=True)
        if post.hindrance:
            yield Told(post.centre, f"not sent: {post.hindrance}" if post.fault else post.hindrance, post.fault)
        elif post.to:
            yield from _send_one(mail, events, post)
        elif not post.unsure:
            yield Told(post.centre, "has it already")


_UNSURE = "it is not known whether an earlier mail arrived; ask the centre, and use --again if it did not"


def _send_one(mail: Mail, events: log.Log, post: Post) -> Iterator[Told]:
    assert post.folder is not None, "what has addresses has an edition"
    letter = message.compose(mail, post.to, post.said, post.attachment, post.content)
    event = log.Event(
        "sending", now(), post.centre, post.folder.name, post.to, sums(post.folder), post.attachment,
        hashlib.sha256(post.content).hexdigest(), str(letter["Message-ID"]),
    )  # fmt: skip
    events.add(event)
    try:
        refused = hand_over(mail, letter, post.to)
    except NotSent as error:
        events.add(replace(event, state="failed", at=now(), reason=str(error)))
        yield Told(post.centre, f"not sent: {error}", fault=True)
        return
    except Unknown as error:
        yield Told(post.centre, f"{error}; {_UNSURE}", fault=True)
        return
    took = tuple(address for address in post.to if address not in refused)
    events.add(replace(event, state="sent", at=now(), to=took))
    yield Told(post.centre, f"{post.attachment} sent to {', '.join(took)}")
    for address, reason in refused.items():
        events.add(replace(event, state="failed", at=now(), to=(address,), reason=reason))
        yield Told(post.centre, f"not sent to {address}: the server refused it: {reason}", fault=True)


def sums(folder: Path) -> dict[str, str]:
    """File -> sha256 of one edition."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
