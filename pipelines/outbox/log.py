"""What was sent to whom: `<home>/sent.jsonl`, one line an event, appended and never changed."""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO

from pipelines.errors import RestageError
from pipelines.warehouse import Home

NAME = "sent.jsonl"


@dataclass(frozen=True)
class Event:
    """One step of one mail. `state`: sending (handed to the server from now on), sent, or failed (certainly not sent).

    `to` are the addresses that it is true of; `files` name -> sha256 of what is inside; `attachment` is its name and
    `attachment_sha256` the sum of the encrypted bytes, so that a mail can be told from another.
    """

    state: str
    at: str
    centre: str
    edition: str
    to: tuple[str, ...]
    files: Mapping[str, str]
    attachment: str
    attachment_sha256: str
    message_id: str
    reason: str = ""


class Log:
    """The events so far and, for the one process that sends, the file that gets more."""

    def __init__(self, text: str, file: IO[str] | None = None) -> None:
        self.events, self._file = list(_events(text)), file

    def add(self, event: Event) -> None:
        """Append one line and wait until it is on the disk."""
        assert self._file is not None, "opened for looking only"
        self._file.write(json.dumps(asdict(event), ensure_ascii=False, sort_keys=True) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.events.append(event)

    def reached(self, centre: str, files: Mapping[str, str]) -> dict[str, str]:
        """Address -> what became of its last mail with exactly these files; failed ones count as never tried."""
        last: dict[str, str] = defaultdict(str)
        for event in self.events:
            if event.centre == centre and dict(event.files) == dict(files):
                last |= dict.fromkeys(event.to, event.state)
        return {address: state for address, state in last.items() if state != "failed"}


@contextmanager
def opened(home: Home) -> Iterator[Log]:
    """The log for whoever sends; raises `RestageError` while another process does."""
    with (home.root / NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RestageError("Another `restage send` is at work on this home. Wait until it ends.") from None
        file.seek(0)
        text = file.read()
        if text and not text.endswith("\n"):
            file.write("\n")  # after a line that a crash cut off
        yield Log(text, file)


def read(home: Home) -> Log:
    """The log for looking."""
    path = home.root / NAME
    return Log(path.read_text(encoding="utf-8") if path.exists() else "")


def _events(text: str) -> Iterator[Event]:
    for line in text.split("\n"):
        try:
            raw = json.loads(line)
        except json.JSONDecodeError:
            continue  # blank, or cut off by a crash
        yield Event(**{**raw, "to": tuple(raw["to"])})
