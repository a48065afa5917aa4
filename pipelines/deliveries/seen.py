"""What of the inbox has been taken in, and how its names are written down."""

import json

from pipelines.deliveries import ledger
from pipelines.warehouse import Home, write_whole


def read_seen(home: Home) -> dict[str, str]:
    """Place in the inbox -> signature of what was taken in from there, where ledger and archive hold it still: what a
    damaged disk has lost is taken from the inbox again."""
    here = Home(home.root)
    known = {f"{d.centre}/{d.name}" for d in ledger.read(here)}
    known -= {f"{d.centre}/{d.name}" for d, _, _ in ledger.unsound(here)}
    return {place: signature for place, signature in ledger.seen(home).items() if spoken(place) in known}


def write_seen(home: Home, seen: dict[str, str]) -> None:
    write_whole(home.archive / "seen.json", json.dumps(seen, indent=0, sort_keys=True))


def spoken(name: str) -> str:
    """A name that can be written down: bytes that are no UTF-8 and control characters as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c >= " " and c != "\x7f" else repr(c)[1:-1] for c in text)
